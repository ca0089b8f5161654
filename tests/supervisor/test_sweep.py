"""What a supervisord left behind is ended, also where it ends by itself in that moment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_a_process_that_ends_before_the_signal_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    from supervision import Supervision

    # One is counted first, another signalled; then there is none.
    looks = iter((True, True, False))

    def ended(_: object) -> Iterator[tuple[int, int]]:
        if next(looks):
            process = subprocess.Popen([sys.executable, "-c", ""])
            descriptor = os.pidfd_open(process.pid)
            process.wait()
            yield process.pid, descriptor

    monkeypatch.setattr(Supervision, "_marked", ended)
    assert Supervision(tmp_path).sweep(patience=1) == 2

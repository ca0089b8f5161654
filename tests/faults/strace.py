"""Makes system calls of a running process fail, by strace's fault injection."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import eventually

WRITES = "pwrite64,write"
SYNCS = "fdatasync,fsync"


def is_traced(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return "TracerPid:\t0\n" not in status


@contextmanager
def failing(pid: int, calls: str, when: str, paths: Sequence[Path] = ()) -> Iterator[None]:
    """From now on the calls that `when` selects ("3", "2+") fail with EIO in process `pid`.

    Only those on the files named, where any are. Skips the test where strace cannot be used.
    """
    program = shutil.which("strace")
    if program is None:
        pytest.skip("strace is not installed: faults of the disk are NOT tested")
    command = [program, "-qq", "-f", "-o", os.devnull, "-e", f"trace={calls}"]
    command += ["-e", f"inject={calls}:error=EIO:when={when}"]
    for path in paths:
        command += ["-P", str(path)]
    tracer = subprocess.Popen([*command, "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    try:
        eventually(lambda: tracer.poll() is not None or is_traced(pid))
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            pytest.skip(f"strace may not trace here, NOT tested: {tracer.stderr.read()}")
        yield
    finally:
        tracer.terminate()
        tracer.communicate(timeout=10)

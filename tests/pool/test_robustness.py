"""The master itself in trouble: whatever fails, no child is left without a master."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pool.harness import StartPool
from tests.support.processes import alive
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

_ROOT = Path(__file__).resolve().parents[2]

_PROGRAM = """
import json, sys
import tests.pool.fake_pool as fake_pool
from orpheus.pool import {module} as module

original = module.{target}
def broken(*arguments, **named):
    if (fake_pool.Path({folder!r}) / "break").exists():
        raise OSError("injected")
    return original(*arguments, **named)
module.{target} = broken
sys.exit(fake_pool.main(json.dumps({{"folder": {folder!r}, "processes": 1}})))
"""


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("crew", "Crew.bury"),
        ("crew", "Crew.refill"),
        ("watchdog", "read_record"),
        ("master", "enforce"),
        ("signals", "Signals.wait"),
        ("spawn", "fork"),
    ],
)
def test_a_step_that_fails_for_a_while_leaves_the_pool_whole(
    tmp_path: Path, module: str, target: str
) -> None:
    for name in ("run/bells", "locks"):
        (tmp_path / name).mkdir(parents=True)
    program = _PROGRAM.format(module=module, target=target, folder=str(tmp_path))
    with (tmp_path / "log").open("wb") as log:
        master = subprocess.Popen(
            [sys.executable, "-c", program], cwd=_ROOT, stdin=subprocess.DEVNULL, stderr=log
        )
    try:
        workers = tmp_path / "workers"
        eventually(lambda: workers.exists() and workers.read_text().endswith("\n"))
        (tmp_path / "break").touch()
        if target in ("fork", "Crew.bury", "Crew.refill"):
            os.kill(_last_pid(workers), signal.SIGKILL)
        eventually(lambda: "injected" in (tmp_path / "log").read_text())
        (tmp_path / "break").unlink()
        eventually(lambda: alive(_last_pid(workers)))
        master.send_signal(signal.SIGTERM)
        assert master.wait(20) == 0
        assert not alive(_last_pid(workers))
    finally:
        master.kill()
        master.wait()


def _last_pid(path: Path) -> int:
    return int(path.read_text().splitlines()[-1].split(":")[1].split(",")[0].strip(" }"))


def test_a_full_log_pipe_does_not_stop_the_master(start_pool: StartPool, tmp_path: Path) -> None:
    """Its reader, supervisord, may be stopped for as long as it likes."""
    for name in ("run/bells", "locks"):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, bytes(4096)):
            pass
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    arguments = f'{{"folder": "{tmp_path}", "processes": 1}}'
    master = subprocess.Popen(
        [sys.executable, "-m", "tests.pool.fake_pool", arguments], cwd=_ROOT, stderr=writer
    )
    try:
        workers = tmp_path / "workers"
        eventually(lambda: workers.exists() and workers.read_text().endswith("\n"))
        first = _last_pid(workers)
        os.kill(first, signal.SIGKILL)
        eventually(lambda: _last_pid(workers) != first)
        master.send_signal(signal.SIGTERM)
        assert master.wait(20) == 0
    finally:
        master.kill()
        master.wait()
        os.close(reader)
        os.close(writer)

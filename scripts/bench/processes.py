"""Processes of a run: started in sessions of their own, ended by pid, never outlived by."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parents[1]
_STOPS_WITHIN = 15.0


def environment(**extra: str) -> dict[str, str]:
    """This environment without anybody's Orpheus settings, able to import this package."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ORPHEUS_")}
    path = [str(SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(path), **extra}


def start(
    argv: Sequence[str], log: Path, env: Mapping[str, str], cwd: Path, **more: Any
) -> subprocess.Popen[bytes]:
    """Start a process; what it says goes to `log`."""
    with log.open("ab") as output:
        return subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            **more,
        )


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """End a process of `start`, and what it left behind in its session."""
    if process.poll() is None:
        process.send_signal(number)
        try:
            process.wait(_STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    # Its session has its pid as its id; nobody else's process can be in it.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def running(
    argvs: Sequence[Sequence[str]], log: Path, env: Mapping[str, str], cwd: Path
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes for the length of a block."""
    processes: list[subprocess.Popen[bytes]] = []
    try:
        processes.extend(start(argv, log, env, cwd) for argv in argvs)
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in processes:
            stop(process)


def python(module: str, *arguments: str) -> list[str]:
    """The command line of a module of this package."""
    return [sys.executable, "-m", module, *arguments]


def ask(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 120
) -> Any:
    """Run a module of this package to its end; what it printed last, as JSON."""
    process = subprocess.Popen(
        python(module, *arguments),
        env=dict(env or environment()),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise RuntimeError(f"{module} took more than {timeout:g} s") from None
    if process.returncode:
        raise RuntimeError(f"{module} ended with {process.returncode}: {_end_of(err)}")
    return json.loads(out.strip().splitlines()[-1])


def wait_for(condition: Callable[[], bool], timeout: float, what: str, pause: float = 0.02) -> None:
    """Wait until `condition` holds; RuntimeError when the time is up."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {timeout:g} s")
        time.sleep(pause)


def tail(log: Path) -> str:
    """The last lines of a log, for a message."""
    return _end_of(log.read_text(encoding="utf-8", errors="replace")) if log.exists() else ""


def _end_of(text: str) -> str:
    return " | ".join(line for line in text.strip().splitlines()[-3:])[-600:]

"""Forked children for tests of what only several processes can show."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from orpheus.ipc.process import fork, kill_exactly, start_time


@contextmanager
def children(*mains: Callable[[], int]) -> Iterator[list[int]]:
    """Run each main in a child; whoever still lives at the end is killed, and all are reaped."""
    started = []
    try:
        for main in mains:
            pid = fork(main)
            started.append((pid, start_time(pid) or 0))
        yield [pid for pid, _ in started]
    finally:
        for pid, began in started:
            kill_exactly(pid, began, signal.SIGKILL)
        for pid, _ in started:
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                pass


def exit_code(main: Callable[[], int]) -> int:
    """Run `main` in a child to its end; negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(fork(main), 0)[1])


def pause() -> int:
    """A child main that stays until it is killed."""
    while True:
        signal.pause()

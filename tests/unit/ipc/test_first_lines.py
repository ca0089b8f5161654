"""What a child has left of its parent's standard input: nothing (protocol F)."""

from __future__ import annotations

import os

from orpheus.ipc.process import fork


def test_a_child_reads_from_nowhere() -> None:
    """A handler that reads its input must not wait for, or take, what somebody types."""
    typed, keyboard = os.pipe()
    answer, report = os.pipe()
    kept = os.dup(0)
    os.dup2(typed, 0)
    try:
        pid = fork(lambda: os.write(report, os.readlink("/proc/self/fd/0").encode()) * 0)
    finally:
        os.dup2(kept, 0)
    os.waitpid(pid, 0)
    assert os.read(answer, 100).decode() == os.devnull
    for descriptor in (typed, keyboard, answer, report, kept):
        os.close(descriptor)

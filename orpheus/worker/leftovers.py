"""What a job started and did not end: threads, and processes of the worker's group.

A thread cannot be ended from outside; a process is asked, and killed by the master with the group
when the worker leaves. What left the group (`setsid`) is out of reach. Asked by `hygiene`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from _thread import _count as threads_running

from orpheus.clock import SECOND_NS, Clock
from orpheus.ipc.process import group_members, kill_exactly

# For a pool of threads, or a process, that was told to end and is about to.
_THREADS_NS = SECOND_NS // 20
_PROCESSES_NS = SECOND_NS // 4
_NAP_SECONDS = 0.001

__all__ = ["Processes", "leftover_threads", "threads_running"]


def leftover_threads(allowed: int, clock: Clock) -> list[str]:
    """The names of threads that are still there after a moment; empty if there are none."""
    deadline = clock.monotonic() + _THREADS_NS
    while threads_running() > allowed:
        if clock.monotonic() >= deadline:
            known = [one.name for one in threading.enumerate() if one.name != "MainThread"]
            return known or ["a thread without a name"]
        time.sleep(_NAP_SECONDS)
    return []


class Processes:
    """The processes below this one that no job started, and the search for others."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._group = os.getpgrp()
        self._allowed = set(group_members(self._group))
        # Children that are meant to live make the cheap question useless.
        self._ask = len(self._allowed) <= 1

    def suspected(self) -> bool:
        """Whether this process has a child, alive or not; a start that was not heard leaves one."""
        if not self._ask or not hasattr(os, "waitid"):
            return False
        try:
            os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return False
        return True

    def end(self) -> tuple[int, int]:
        """Ask leftovers to end: how many there were, and how many did not."""
        found = self._left()
        if not found and self.suspected():
            self._ask = False
        for pid, started in found:
            kill_exactly(pid, started, signal.SIGTERM)
        left = found
        deadline = self._clock.monotonic() + _PROCESSES_NS
        while left and self._clock.monotonic() < deadline:
            time.sleep(_NAP_SECONDS)
            left = self._left()
        return len(found), len(left)

    def _left(self) -> list[tuple[int, int]]:
        """The living members of our group that a job must have started."""
        self._reap()
        kept = {os.getpid(), *_helpers()}
        return [
            one
            for one in group_members(self._group)
            if one not in self._allowed and one[0] not in kept and not _is_zombie(one[0])
        ]

    def _reap(self) -> None:
        """Take the dead ones, which a handler that forgot them would never do."""
        allowed = {pid for pid, _ in self._allowed}
        while hasattr(os, "waitid"):
            try:
                report = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if report is None or report.si_pid in allowed | _helpers():
                    return
                os.waitpid(report.si_pid, os.WNOHANG)
            except ChildProcessError:
                return


def _helpers() -> set[int]:
    """Processes that `multiprocessing` starts once and keeps; they end with their parent."""
    found = set()
    for module, name, attribute in (
        ("multiprocessing.resource_tracker", "_resource_tracker", "_pid"),
        ("multiprocessing.forkserver", "_forkserver", "_forkserver_pid"),
    ):
        helper = getattr(sys.modules.get(module), name, None)
        pid = getattr(helper, attribute, None)
        if isinstance(pid, int):
            found.add(pid)
    return found


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True

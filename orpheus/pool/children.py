"""One child as the master sees it: what it is for, whether it is stopped or dead, how it ends.

A child that died is not reaped at once: while it is a zombie its number cannot be given to
another process, so that is when its group, with all subprocesses a job started, is killed.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import StrEnum

from orpheus.clock import SECOND_NS
from orpheus.ipc.process import SHOW_STACK
from orpheus.ipc.scoreboard import Slot

_HAS_WAITID = hasattr(os, "waitid")
# The innermost frames; further out is the pool itself.
_STACK_LINES = 15
_STACK_BYTES = 1 << 14
# How long a worker has to say where it is. It needs microseconds, and a processor.
ANSWER_NS = SECOND_NS // 4


class Role(StrEnum):
    PREPARE = "prepare"
    MAINTENANCE = "maintenance"
    WORKER = "worker"


@dataclass(slots=True)
class Sentence:
    """A forced kill under way: this child dies if it still runs this attempt once stopped."""

    attempt: int
    why: int
    since: int
    stopping: bool = False


@dataclass(slots=True, eq=False)
class Child:
    """A process of ours that has not been reaped, so its pid is certainly it."""

    role: Role
    pid: int
    start_time: int
    since: int  # monotonic nanoseconds
    slot: Slot | None = None  # of workers
    ready_fd: int = -1
    stack_fd: int = -1
    ready: bool = False
    stopped_since: int | None = None
    late_since: int | None = None  # when its start had taken too long
    sentence: Sentence | None = None
    killed: bool = False
    soft_stopped: int = 0  # the attempt it was last told to stop
    soft_stopped_at: int = 0
    soft_stopped_since: int = 0
    _status: int | None = None

    def look(self, now: int) -> bool:
        """Take in what happened to it since the last look; True once it is dead."""
        if not _HAS_WAITID:
            return self._look_with_waitpid(now)
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return True
        try:
            # Taken, not looked at first: taken in a second step, it could be a newer one.
            report = os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG)
        except ChildProcessError:
            # Not reaped, and yet it will never stop or go on again: it died just now.
            return True
        if report is not None:
            self.stopped_since = None if report.si_code == os.CLD_CONTINUED else now
        return False

    def reap(self) -> int:
        """Kill what is left of its group, then take its wait status."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass  # nobody left but the zombie itself
        if self._status is None:
            self._status = os.waitpid(self.pid, 0)[1]
        self.close_ready()
        if self.stack_fd >= 0:
            os.close(self.stack_fd)
            self.stack_fd = -1
        return self._status

    def close_ready(self) -> None:
        """Give up the master's end of its ready pipe."""
        if self.ready_fd >= 0:
            os.close(self.ready_fd)
            self.ready_fd = -1

    def descriptors(self) -> list[int]:
        """What the master shares with it."""
        return [fd for fd in (self.ready_fd, self.stack_fd) if fd >= 0]

    def ask_where(self) -> None:
        """Have a worker say where it is; `stack` tells, a moment later."""
        if self.stack_fd >= 0:
            # The position is shared with the worker.
            os.lseek(self.stack_fd, 0, os.SEEK_SET)
            os.ftruncate(self.stack_fd, 0)
        self.send(SHOW_STACK)

    def has_answered(self) -> bool:
        """Whether it said where it is, or has nothing to say it into."""
        return self.stack_fd < 0 or os.fstat(self.stack_fd).st_size > 0

    def stack(self) -> str:
        """Where it said it was; empty where it said nothing."""
        if self.stack_fd < 0:
            return ""
        text = os.pread(self.stack_fd, _STACK_BYTES, 0).decode("utf-8", "replace")
        return "\n".join(text.splitlines()[:_STACK_LINES])

    def send(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self, why: int, attempt: int | None = None) -> None:
        """SIGKILL, after writing down why and during which attempt (the armed one if not given)."""
        if self.slot is not None:
            self.slot.killed_for = self.slot.armed if attempt is None else attempt
            self.slot.killed_why = why
        self.killed = True
        self.send(signal.SIGKILL)

    def _look_with_waitpid(self, now: int) -> bool:
        """Without waitid (macOS before Python 3.13) looking at a zombie already reaps it."""
        if self._status is not None:
            return True
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
        if pid == 0:
            return False
        if os.WIFSTOPPED(status):
            self.stopped_since = now
        elif os.WIFCONTINUED(status):
            self.stopped_since = None
        else:
            self._status = status
        return self._status is not None

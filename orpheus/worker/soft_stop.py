"""Stopping user code by an exception, and only user code (the soft half of protocol D).

The master asks by a signal which it repeats each second. Python runs the signal's function
between any two opcodes, also of our own bookkeeping, where an exception would lose the outcome
or the worker. So it raises only with `call_user` on the interrupted stack, and `execute` calls
that as the only statement of a `try`: the exception can surface at that call and nowhere else.
Used by `execute`; the sync lane looks at `raised`. Never settles, never ends the process.
"""

from __future__ import annotations

import signal

# The C function: the one of `signal` tries to make an enum member of every handler, 5 µs a job.
from _signal import getsignal as handler_of  # type: ignore[import-not-found]
from collections.abc import Callable
from types import FrameType
from typing import Protocol, TypeVar

from orpheus.domain.attempt import Outcome
from orpheus.errors import JobCancelled, JobTimedOut
from orpheus.ipc.process import SOFT_STOP

T = TypeVar("T")


class SlotWords(Protocol):
    """The words of the worker's slot that a run reads and writes."""

    armed: int
    """The attempt whose user code runs now; 0 none."""
    cancel: int
    """The attempt that maintenance was asked to cancel."""
    timeout: int
    """The attempt that the master found overdue."""
    started_mono: int
    """When the armed attempt started: monotonic nanoseconds."""
    started_wall: int
    """The same in wall microseconds."""
    deadline_mono: int
    """When the armed attempt is overdue: monotonic nanoseconds; 0 none."""


def call_user(function: Callable[[], T]) -> T:
    """Run user code. A soft stop is raised only while this frame is on the stack."""
    return function()


class SoftStop:
    """The signal's function and what it knows of the running attempt.

    `raised` tells whether it ever interrupted something in this process: imports, event loops
    and locks of the user may be half done then, so such a worker settles and is replaced.
    """

    def __init__(self, slot: SlotWords) -> None:
        self._slot = slot
        # One object: a bound method is a new one at each look.
        self._handler = self.on_signal
        self.raised = False
        self.outcome: Outcome | None = None

    def install(self) -> None:
        """Take the signal. Main thread only."""
        signal.signal(SOFT_STOP, self._handler)

    def arm(self, attempt_id: int) -> None:
        """User code of this attempt comes next."""
        self.outcome = None
        # Looked at for each attempt: the last handler may have set its own.
        if handler_of(SOFT_STOP) is not self._handler:
            self.install()
        self._slot.armed = attempt_id

    def disarm(self) -> None:
        """No user code is running."""
        self._slot.armed = 0
        self._slot.deadline_mono = 0

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        """Raise in user code what was asked for, if it was asked of the armed attempt."""
        attempt_id = self._slot.armed
        if not attempt_id or not _in_user_code(frame):
            return
        if self._slot.cancel == attempt_id:
            self._note(Outcome.CANCELLED)
            raise JobCancelled("the job was cancelled")
        if self._slot.timeout == attempt_id:
            self._note(Outcome.TIMED_OUT)
            raise JobTimedOut("the attempt ran out of time")

    def _note(self, outcome: Outcome) -> None:
        self.raised = True
        self.outcome = outcome


def _in_user_code(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code is call_user.__code__:
            return True
        frame = frame.f_back
    return False

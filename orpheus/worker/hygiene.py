"""Between two jobs: undo what the last one changed, and judge whether this process may go on.

The lane calls it after each job; what it does there costs a fraction of a microsecond, and only a
sign of a change or a job of a millisecond brings the whole look at once. Shorter jobs have it
together, before the next batch. Never runs beside user code, never writes to the database.
"""

from __future__ import annotations

import signal
import sys

# The C function: the one of `signal` makes an enum member, 5 µs a job.
from _signal import getsignal  # type: ignore[import-not-found]
from enum import IntEnum
from os import umask

from orpheus.clock import Clock
from orpheus.domain.outcome import FinishedAttempt
from orpheus.log import get_logger
from orpheus.worker.clean_state import CleanState
from orpheus.worker.current import Current
from orpheus.worker.descriptors import Descriptors
from orpheus.worker.leftovers import Processes, leftover_threads, threads_running
from orpheus.worker.recycling import Recycling
from orpheus.worker.traces import Traces

# Microseconds.
_LONG = 1000
_TERM, _INT, _ALARM = signal.SIGTERM, signal.SIGINT, signal.SIGALRM
_MOST_NOTICES = 1000

_log = get_logger("worker.hygiene")


class Leave(IntEnum):
    """Whether the worker must end, and how."""

    NO = 0
    SETTLED = 1
    """In order: settle, give back, close."""
    AT_ONCE = 2
    """Without a write. Its outcomes are in the outbox, where maintenance finds them."""


class Housekeeping:
    """What the lane asks. As it stands it keeps nothing clean: for a process with no user code."""

    def __init__(self) -> None:
        self.leave = Leave.NO

    def may_write(self) -> bool:
        """Whether a write still goes where it should."""
        return True

    def remaining(self, jobs: int) -> int:
        """How many more this worker may take when `jobs` were run in all."""
        return sys.maxsize

    def after_job(self, finished: FinishedAttempt) -> None:
        """User code has ended, and its outcome is in the outbox."""

    def after_work(self, jobs: int) -> None:
        """A batch is done and the database is written next; `jobs` were run in all."""

    def between_batches(self) -> None:
        """Nothing is in hand: before the next batch, and before sleep."""


class Hygiene(Housekeeping):
    """Made by a worker once its handlers are imported and everything of its own is open."""

    def __init__(
        self,
        clock: Clock,
        current: Current,
        traces: Traces,
        state: CleanState,
        descriptors: Descriptors,
        recycling: Recycling,
    ) -> None:
        super().__init__()
        self._clock = clock
        self._current = current
        self._traces = traces
        self._descriptors = descriptors
        self._state = state
        self._recycling = recycling
        self._processes = Processes(clock)
        self._threads = threads_running()
        self._umask = state.umask
        self._stdout, self._stderr = state.streams[1:]
        self._on_term, self._on_int = getsignal(_TERM), getsignal(_INT)
        self._on_alarm = getsignal(_ALARM)
        self._umask_changed = False
        self._unseen = False
        self._writable = True
        self._noticed: set[tuple[str, ...]] = set()
        if self._threads:
            _log.warning(
                "importing the handlers started threads; they delay every write of this worker",
                threads=self._threads,
            )

    def remaining(self, jobs: int) -> int:
        return self._recycling.remaining(jobs)

    def after_job(self, finished: FinishedAttempt) -> None:
        if umask(self._umask) != self._umask:
            self._umask_changed = True
        if (
            self._traces.any
            or finished.finished_at - (finished.started_at or 0) >= _LONG
            or self._umask_changed
            or threads_running() > self._threads
            or getsignal(_TERM) is not self._on_term
            or getsignal(_INT) is not self._on_int
            or getsignal(_ALARM) is not self._on_alarm
            or sys.stdout is not self._stdout
            or sys.stderr is not self._stderr
        ):
            self._look()
        else:
            self._unseen = True

    def may_write(self) -> bool:
        # The standard ones are among them, and those a look puts back.
        if not self._descriptors.sound():
            self._look()
        return self._writable

    def after_work(self, jobs: int) -> None:
        if self.may_write() and not self.leave and (reason := self._recycling.due(jobs)):
            self.leave = Leave.SETTLED
            _log.info("recycling this worker", after=reason)

    def between_batches(self) -> None:
        if self._unseen:
            self._look()

    def _look(self) -> None:
        self._unseen = False
        restored, left = self._state.restore(self._traces)
        if self._umask_changed:
            self._umask_changed = False
            restored.append("umask")
        if self._traces.processes or self._processes.suspected():
            started, remaining = self._processes.end()
            if started:
                restored.append("subprocesses")
            if remaining:
                left.append(f"{remaining} subprocesses")
        self._traces.clear()
        if restored:
            self._notice(restored)
        if left:
            self.leave = max(self.leave, Leave.SETTLED)
        if not self._state.same_owner():
            # Files of the data folder may be out of its reach now.
            self.leave, self._writable = Leave.AT_ONCE, False
            left.append("another user or group id")
        threads = leftover_threads(self._threads, self._clock)
        if threads:
            # A write beside a thread could hold the gate for as long as that keeps the GIL.
            self.leave = Leave.AT_ONCE
            left.append(f"threads: {', '.join(threads[:5])}")
        if not self._descriptors.intact():
            self._must_not_write()
        elif left:
            _log.warning(
                "a job left behind what cannot be undone: this worker is replaced",
                **self._who(),
                left=left,
            )

    def _must_not_write(self) -> None:
        self.leave, self._writable = Leave.AT_ONCE, False
        _log.error(
            "a job closed descriptors of its worker: it is replaced and writes nothing any more",
            **self._who(),
        )

    def _notice(self, restored: list[str]) -> None:
        """Once for each type and change: some do it each time."""
        who = self._who()
        notice = (str(who.get("type")), *restored)
        if notice not in self._noticed and len(self._noticed) < _MOST_NOTICES:
            self._noticed.add(notice)
            _log.warning("undid what a job left changed", **who, undone=restored)

    def _who(self) -> dict[str, object]:
        claim = self._current.claim
        return {"type": claim.type, "job": claim.job_id} if claim else {}

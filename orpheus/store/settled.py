"""What every settlement leaves besides the rows themselves: counters, totals, durations."""

from __future__ import annotations

from dataclasses import dataclass

from orpheus.clock import SECOND_US
from orpheus.domain.attempt import Outcome
from orpheus.domain.job import FINAL, JobState
from orpheus.store.totals import Observations
from orpheus.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did: attempts whose lease was lost, jobs moved, those that wait again."""

    lost: tuple[int, ...] = ()
    moved: int = 0
    pending: int = 0
    scheduled: int = 0


class Times:
    """How long the attempts of one group waited and ran, in seconds."""

    __slots__ = ("count", "ran", "waited")

    def __init__(self) -> None:
        self.count = 0
        self.waited: list[float] = []
        self.ran: list[float] = []

    def add(self, run_at: int, started_at: int | None, finished_at: int) -> None:
        """One attempt; one that never started has no times."""
        self.count += 1
        if started_at is not None:
            # A wall clock that was set back must not make a negative duration.
            self.waited.append(max(0.0, (started_at - run_at) / SECOND_US))
            self.ran.append(max(0.0, (finished_at - started_at) / SECOND_US))

    def observed(self) -> Observed:
        """Ready to be written."""
        return Observed(self.count, Observations(self.waited), Observations(self.ran))


@dataclass(frozen=True, slots=True)
class Observed:
    """The times of one group, counted."""

    count: int
    waited: Observations
    ran: Observations


def record(
    tx: Transaction, queue: str, type_: str, outcome: Outcome, state: JobState, seen: Observed
) -> None:
    """The figures of jobs that went from in_progress to `state` in the same way."""
    tx.counters.move(queue, type_, JobState.IN_PROGRESS, state, seen.count)
    totals = tx.totals
    totals.add("attempts", queue, type_, outcome, seen.count)
    if state in FINAL:
        totals.add("jobs_finished", queue, type_, state, seen.count)
        tx.activity.add(state, seen.count)
    if seen.ran.count:
        totals.observe("wait_seconds", queue, type_, seen.waited)
        totals.observe("run_seconds", queue, type_, seen.ran)

"""The job: its states and what is asked for at submit.

Made by `handlers.prepare`, stored by `store.submit`. Never reads a clock or touches a database.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any


class JobState(StrEnum):
    """Where a job stands; the value is what the contract and the database say."""

    SCHEDULED = "scheduled"
    BLOCKED = "blocked"
    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


FINAL = frozenset({JobState.DONE, JobState.FAILED, JobState.CANCELLED})
ACTIVE = frozenset(JobState) - FINAL
WAITING = frozenset({JobState.SCHEDULED, JobState.BLOCKED, JobState.PENDING})


@dataclass(frozen=True, slots=True)
class NewJob:
    """A validated request for a job.

    Times are microseconds: `run_at` since the epoch, the others durations. `payload` and `meta`
    are JSON objects as ASCII text. Of `run_at` and `delay` at most one is set.
    """

    type: str
    queue: str
    lane: str
    payload: str
    priority: int = 0
    run_at: int | None = None
    delay: int | None = None
    max_retries: int = 3
    max_crashes: int = 3
    backoff_base: int = 1_000_000
    backoff_cap: int = 300_000_000
    timeout: int = 3_600_000_000
    unique_key: str | None = None
    tags: tuple[str, ...] = ()
    meta: str = "{}"
    ref: str | None = None

    def due_at(self, now: int) -> int:
        """When it may run if it is submitted `now`."""
        if self.delay is not None:
            return now + self.delay
        # A time in the past means now: the queue's order is by due time, and nobody may jump it.
        return now if self.run_at is None else max(self.run_at, now)

    def to_wire(self) -> list[Any]:
        """Plain JSON for the writer's socket, fields in order."""
        return list(_values(self))

    @classmethod
    def from_wire(cls, values: list[Any]) -> NewJob:
        """The inverse of `to_wire`, after a trip through JSON."""
        if len(values) != len(_FIELDS):
            raise ValueError(f"a job has {len(_FIELDS)} arguments, not {len(values)}")
        # JSON made a list of the tuple.
        values[_TAGS] = tuple(values[_TAGS])
        return cls(*values)


_FIELDS = tuple(field.name for field in fields(NewJob))
_TAGS = _FIELDS.index("tags")
_values = attrgetter(*_FIELDS)

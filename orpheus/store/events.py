"""The spine of the feed: one row a fact, written in the transaction that makes it true."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from orpheus.domain.event import STATE_EVENTS
from orpheus.domain.job import JobState

Row = tuple[
    int,
    str,
    int | None,
    str | None,
    str | None,
    str | None,
    int | None,
    str | None,
    str | None,
]

# Plain strings: sqlite3 takes a detour to bind a subclass such as StrEnum's members.
_NAMES = {state: (str(event), state.value) for state, event in STATE_EVENTS.items()}


_INSERT = """
INSERT INTO events (at, event, job_id, type, queue, state, attempt, reason, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_INSERT_ALIKE = """
INSERT INTO events (at, event, job_id, type, queue, state, attempt, reason)
SELECT ?, ?, value, ?, ?, ?, ?, ? FROM json_each(?)
"""
# Fewer are written as quickly one by one.
_ALIKE = 8


class EventRows:
    """Gathers the events of one transaction, in order. `now` is in microseconds."""

    __slots__ = ("_count", "_now", "_parts", "_rows")

    def __init__(self, now: int) -> None:
        self._now = now
        self._count = 0
        self._rows: list[Row] = []
        self._parts: list[list[Row] | tuple[object, ...]] = [self._rows]

    def __len__(self) -> int:
        return self._count + len(self._rows)

    def alike(
        self,
        job_ids: Sequence[int],
        type_: str,
        queue: str,
        state: JobState,
        attempt: int,
        reason: str,
    ) -> None:
        """Jobs that reached a state by the same attempt number: bound once for all of them."""
        if len(job_ids) < _ALIKE:
            for job_id in job_ids:
                self.state(job_id, type_, queue, state, attempt, reason)
            return
        event, name = _NAMES[state]
        ids = f"[{','.join(map(str, job_ids))}]"
        self._parts.append((self._now, event, type_, queue, name, attempt, reason, ids))
        self._count += len(job_ids) + len(self._rows)
        self._rows = []
        self._parts.append(self._rows)

    def state(
        self,
        job_id: int,
        type_: str,
        queue: str,
        state: JobState,
        attempt: int,
        reason: str,
        data: str | None = None,
    ) -> None:
        """A job reached a state. `data` is a JSON object as text, merged into the frame."""
        event, name = _NAMES[state]
        self._rows.append((self._now, event, job_id, type_, queue, name, attempt, reason, data))

    def job(
        self,
        event: str,
        job_id: int,
        type_: str,
        queue: str,
        state: str,
        attempt: int,
        reason: str | None = None,
        data: str | None = None,
    ) -> None:
        """Something else happened to a job (`job.progress`, `job.deleted`, ...)."""
        self._rows.append((self._now, event, job_id, type_, queue, state, attempt, reason, data))

    def other(self, event: str, queue: str | None = None, data: str | None = None) -> None:
        """A fact that is not about one job (workers, queues, pruning)."""
        self._rows.append((self._now, event, None, None, queue, None, None, None, data))

    def flush(self, connection: sqlite3.Connection) -> None:
        for part in self._parts:
            if isinstance(part, tuple):
                connection.execute(_INSERT_ALIKE, part)
            elif part:
                connection.executemany(_INSERT, part)

"""The spine of the feed: one row a fact, written in the transaction that makes it true."""

from __future__ import annotations

import sqlite3

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


class EventRows:
    """Gathers the events of one transaction, in order. `now` is in microseconds."""

    __slots__ = ("_now", "_rows")

    def __init__(self, now: int) -> None:
        self._now = now
        self._rows: list[Row] = []

    def __len__(self) -> int:
        return len(self._rows)

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
        if self._rows:
            connection.executemany(
                "INSERT INTO events"
                " (at, event, job_id, type, queue, state, attempt, reason, data)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                self._rows,
            )

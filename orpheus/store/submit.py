"""Submit: new jobs, all or none, in one transaction."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orpheus.clock import to_rfc3339
from orpheus.domain.job import JobState, NewJob
from orpheus.errors import RequestError
from orpheus.store import queues
from orpheus.store.staging import Staged
from orpheus.store.transaction import Transaction
from orpheus.store.unique_keys import holder_of

_INSERT = """
INSERT INTO jobs (id, type, queue, lane, state, priority, payload, max_retries, max_crashes,
                  backoff_base, backoff_cap, timeout, tags, meta, unique_key, ref,
                  created_at, run_at, payload_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


# Alternatives with OR: for an IN list of more than two SQLite builds a table each time.
_WAITING = """
SELECT coalesce(sum(n), 0) FROM counters
WHERE state = 'pending' OR state = 'scheduled' OR state = 'blocked'
"""
# One statement for all a submit needs to know: each one apart costs about 40 µs on a machine that
# just woke, and somebody waits for the job.
_BEFORE = f"""
SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'jobs'), 0) + 1, ({_WAITING}),
       EXISTS (SELECT 1 FROM queues WHERE name = ?)
"""  # noqa: S608


class QueueFull(RequestError):
    """So many jobs wait that those asked for would be too many."""

    def __init__(self, waiting: int, max_pending: int) -> None:
        super().__init__(
            "queue_full",
            f"{waiting} jobs wait already and at most {max_pending} may (ORPHEUS_MAX_PENDING); "
            "try again when some have run",
        )
        self.none_fits = waiting >= max_pending


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of one job of a submit, in the order given."""

    id: int
    state: str
    ref: str | None = None
    deduplicated: bool = False

    def item(self) -> dict[str, Any]:
        """As POST /jobs/batch answers it."""
        return {
            "id": self.id,
            "state": self.state,
            "ref": self.ref,
            "deduplicated": self.deduplicated,
        }


@dataclass(frozen=True, slots=True)
class Before:
    """What there is before a submit: the next job's id, how many wait, a queue that is there."""

    next_id: int
    waiting: int
    queue: str | None

    def check_room(self, wanted: int, max_pending: int) -> None:
        """Raise QueueFull where `wanted` more jobs would be too many that wait."""
        if self.waiting + wanted > max_pending:
            raise QueueFull(self.waiting, max_pending)


def look(tx: Transaction, queue: str) -> Before:
    """Look before a submit; `queue` is one that it needs."""
    next_id, waiting, is_there = tx.connection.execute(_BEFORE, (queue,)).fetchone()
    # What earlier submits of this transaction add is still being gathered.
    waiting += tx.counters.waiting()
    return Before(next_id, waiting, queue if is_there else None)


_Fresh = tuple[Submitted, NewJob, JobState, int, int | None]
"""A new job: its state, when it is due, the id of its staged payload."""


def submit(
    tx: Transaction, jobs: Sequence[NewJob], max_pending: int, staged: Staged | None = None
) -> list[Submitted]:
    """Insert jobs, or find the active holder of their unique key.

    Where the payloads are `staged`, those in `jobs` are not looked at. Raises RequestError
    `queue_full` where more than `max_pending` jobs would wait.
    """
    before = look(tx, jobs[0].queue)
    next_id = before.next_id
    submitted: list[Submitted] = []
    fresh: list[_Fresh] = []
    in_batch: dict[str, Submitted] = {}
    unused: list[int] = []
    for at, job in enumerate(jobs):
        payload_id = None if staged is None else staged.ids[at]
        if job.unique_key is not None:
            holder = in_batch.get(job.unique_key) or _stored_holder(tx, job.unique_key)
            if holder is not None:
                submitted.append(Submitted(holder.id, holder.state, job.ref, True))
                if payload_id is not None:
                    unused.append(payload_id)
                continue
        run_at = job.due_at(tx.now)
        state = JobState.SCHEDULED if run_at > tx.now else JobState.PENDING
        one = Submitted(next_id, state, job.ref, False)
        submitted.append(one)
        fresh.append((one, job, state, run_at, payload_id))
        if job.unique_key is not None:
            in_batch[job.unique_key] = one
        next_id += 1
    if fresh:
        # Only what is new needs room; and nothing may be written before this has been asked.
        before.check_room(len(fresh), max_pending)
        _insert(tx, fresh, before)
    if staged is not None:
        staged.use(tx, unused)
    return submitted


def _insert(tx: Transaction, fresh: Sequence[_Fresh], before: Before) -> None:
    tags: list[tuple[str, int]] = []
    rows = []
    for one, job, state, run_at, payload_id in fresh:
        rows.append(_row(one.id, job, state, tx.now, run_at, payload_id))
        if job.tags:
            tags.extend((tag, one.id) for tag in dict.fromkeys(job.tags))
        due = None
        if state is JobState.SCHEDULED:
            due = f'{{"run_at":"{to_rfc3339(run_at)}"}}'
        tx.events.state(one.id, job.type, job.queue, state, 0, "submitted", due)
    groups = Counter((job.queue, job.type, state) for _, job, state, *_ in fresh)
    for (queue, type_, state), n in groups.items():
        tx.counters.move(queue, type_, None, state, n)
        tx.totals.add("jobs_submitted", queue, type_, value=n)
    if missing := {queue for queue, _, _ in groups if queue != before.queue}:
        queues.ensure(tx, missing)
    tx.connection.executemany(_INSERT, rows)
    tx.activity.add("submitted", len(rows))
    if tags:
        tx.connection.executemany("INSERT INTO tags (tag, job_id) VALUES (?, ?)", tags)


def _stored_holder(tx: Transaction, unique_key: str) -> Submitted | None:
    found = holder_of(tx, unique_key)
    return None if found is None else Submitted(*found, None, True)


def _row(
    id_: int, job: NewJob, state: JobState, now: int, run_at: int, payload_id: int | None
) -> tuple[str | int | None, ...]:
    return (
        id_,
        job.type,
        job.queue,
        job.lane,
        state.value,
        job.priority,
        job.payload if payload_id is None else "",
        job.max_retries,
        job.max_crashes,
        job.backoff_base,
        job.backoff_cap,
        job.timeout,
        json.dumps(job.tags) if job.tags else "[]",
        job.meta,
        job.unique_key,
        job.ref,
        now,
        run_at,
        payload_id,
    )


def has_room(connection: sqlite3.Connection, wanted: int, max_pending: int) -> bool:
    """What `Before.check_room` would say now: outside the gate, before much is written ahead."""
    (waiting,) = connection.execute(_WAITING).fetchone()
    return bool(waiting + wanted <= max_pending)

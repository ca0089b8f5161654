"""Claim: take pending jobs; the attempt row inserted is the lease, its id the fencing token."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from orpheus.domain.attempt import Claim
from orpheus.domain.job import JobState
from orpheus.store.transaction import Transaction

# The first jobs of each open queue and lane come straight from the index jobs_claim, so a paused
# queue costs nothing however long it is. Only these few are then sorted across queues.
_CANDIDATES = """
SELECT j.id, j.attempt, j.type, j.queue, j.lane, j.payload, j.timeout, j.retries, j.crashes
FROM queues AS q
CROSS JOIN json_each(:lanes) AS l
CROSS JOIN jobs AS j ON j.id IN (
    SELECT id FROM jobs
    WHERE state = 'pending' AND queue = q.name AND lane = l.value
    ORDER BY priority DESC, run_at, id
    LIMIT :room)
WHERE q.paused = 0
ORDER BY j.priority DESC, j.run_at, j.id
LIMIT :room
"""


@dataclass(frozen=True, slots=True)
class WorkerIdentity:
    """Who claims. `lease` is in nanoseconds."""

    id: int
    name: str
    pid: int
    boot_id: str
    lanes: tuple[str, ...]
    lease: int


def claim(tx: Transaction, worker: WorkerIdentity, room: int) -> tuple[list[Claim], bool]:
    """Lease up to `room` jobs: by priority descending, then due time, then id.

    Tells also whether more could be claimed.
    """
    if room <= 0:
        return [], False
    # One more than there is room for: whether another worker should look costs no statement.
    rows = tx.connection.execute(
        _CANDIDATES, {"lanes": _lanes_json(worker.lanes), "room": room + 1}
    ).fetchall()
    if not rows:
        return [], False
    more = len(rows) > room
    del rows[room:]
    first_id = tx.next_id("attempts")
    claims = [
        Claim(
            first_id + i, job, attempt + 1, type_, queue, lane, payload, timeout, retries, crashes
        )
        for i, (job, attempt, type_, queue, lane, payload, timeout, retries, crashes) in enumerate(
            rows
        )
    ]
    _write(tx, worker, claims)
    return claims, more


def has_claimable(connection: sqlite3.Connection, lanes: tuple[str, ...]) -> bool:
    """Whether a claim would find something now: a read, for a peek before the gate."""
    row = connection.execute(_CANDIDATES, {"lanes": _lanes_json(lanes), "room": 1}).fetchone()
    return row is not None


def _write(tx: Transaction, worker: WorkerIdentity, claims: Sequence[Claim]) -> None:
    changed = tx.connection.executemany(
        "UPDATE jobs SET state = 'in_progress', attempt = ?, worker = ?, progress = NULL"
        " WHERE id = ? AND state = 'pending'",
        [(claim.number, worker.name, claim.job_id) for claim in claims],
    ).rowcount
    if changed != len(claims):
        raise RuntimeError(f"claimed {changed} of {len(claims)} candidates inside one transaction")
    expires = tx.monotonic + worker.lease
    tx.connection.executemany(
        "INSERT INTO attempts (id, job_id, number, worker_id, worker, pid, boot_id, lease_expires,"
        " claimed_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                claim.attempt_id,
                claim.job_id,
                claim.number,
                worker.id,
                worker.name,
                worker.pid,
                worker.boot_id,
                expires,
                tx.now,
            )
            for claim in claims
        ],
    )
    for claim in claims:
        tx.events.state(
            claim.job_id, claim.type, claim.queue, JobState.IN_PROGRESS, claim.number, "claimed"
        )
    for (queue, type_), n in Counter((claim.queue, claim.type) for claim in claims).items():
        tx.counters.move(queue, type_, JobState.PENDING, JobState.IN_PROGRESS, n)


@cache
def _lanes_json(lanes: tuple[str, ...]) -> str:
    return json.dumps(lanes)

"""Claim: take pending jobs; the attempt row inserted is the lease, its id the fencing token."""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from orpheus.domain.attempt import Claim
from orpheus.domain.job import JobState
from orpheus.store.staging import PAYLOAD
from orpheus.store.transaction import Transaction

# The first jobs of each open queue and lane come straight from the index jobs_claim, so a paused
# queue costs nothing however long it is. Only these few are then sorted across queues.
_CANDIDATES = f"""
SELECT jobs.id, jobs.attempt, jobs.type, jobs.queue, jobs.lane, {PAYLOAD}, jobs.timeout,
       jobs.retries, jobs.crashes, jobs.run_at
FROM queues AS q
CROSS JOIN json_each(:lanes) AS l
CROSS JOIN jobs ON jobs.id IN (
    SELECT id FROM jobs
    WHERE state = 'pending' AND queue = q.name AND lane = l.value
    ORDER BY priority DESC, run_at, id
    LIMIT :room)
WHERE q.paused = 0
ORDER BY jobs.priority DESC, jobs.run_at, jobs.id
LIMIT :room
"""  # noqa: S608

_LEASE_JOBS = """
UPDATE jobs SET state = 'in_progress', attempt = attempt + 1, worker = ?, progress = NULL
WHERE id IN (SELECT value FROM json_each(?)) AND state = 'pending'
"""
_LEASE_JOB = """
UPDATE jobs SET state = 'in_progress', attempt = attempt + 1, worker = ?, progress = NULL
WHERE id = ? AND state = 'pending'
"""
_INSERT = """
INSERT INTO attempts (id, job_id, number, worker_id, worker, pid, boot_id, lease_expires,
                      claimed_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# First attempts all, most of the time: what they share is bound once. Ids follow the array's order.
_INSERT_ALIKE = """
INSERT INTO attempts (id, job_id, number, worker_id, worker, pid, boot_id, lease_expires,
                      claimed_at)
SELECT ?1 + key, value, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM json_each(?9)
"""
# Fewer are written as quickly one by one; a single job on an idle machine more quickly.
_ALIKE = 8


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
        Claim(attempt_id, job_id, attempt + 1, *rest)
        for attempt_id, (job_id, attempt, *rest) in enumerate(rows, first_id)
    ]
    _write(tx, worker, claims)
    return claims, more


def has_claimable(connection: sqlite3.Connection, lanes: tuple[str, ...]) -> bool:
    """Whether a claim would find something now: a read, for a peek before the gate."""
    row = connection.execute(_CANDIDATES, {"lanes": _lanes_json(lanes), "room": 1}).fetchone()
    return row is not None


def _write(tx: Transaction, worker: WorkerIdentity, claims: Sequence[Claim]) -> None:
    changed = _lease(tx, worker, claims)
    if changed != len(claims):
        raise RuntimeError(f"claimed {changed} of {len(claims)} candidates inside one transaction")
    alike: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
    for claim in claims:
        alike[claim.queue, claim.type, claim.number].append(claim.job_id)
    for (queue, type_, number), ids in alike.items():
        tx.events.alike(ids, type_, queue, JobState.IN_PROGRESS, number, "claimed")
        tx.counters.move(queue, type_, JobState.PENDING, JobState.IN_PROGRESS, len(ids))


def _lease(tx: Transaction, worker: WorkerIdentity, claims: Sequence[Claim]) -> int:
    """Write the claims to jobs and attempts, and return how many of the jobs were pending."""
    whose = (worker.id, worker.name, worker.pid, worker.boot_id, tx.monotonic + worker.lease)
    execute, executemany = tx.connection.execute, tx.connection.executemany
    if len(claims) >= _ALIKE:
        job_ids = f"[{','.join([str(claim.job_id) for claim in claims])}]"
        changed = execute(_LEASE_JOBS, (worker.name, job_ids)).rowcount
        if len({claim.number for claim in claims}) == 1:
            first = claims[0]
            execute(_INSERT_ALIKE, (first.attempt_id, first.number, *whose, tx.now, job_ids))
            return changed
    else:
        changed = executemany(
            _LEASE_JOB, [(worker.name, claim.job_id) for claim in claims]
        ).rowcount
    executemany(
        _INSERT,
        [(claim.attempt_id, claim.job_id, claim.number, *whose, tx.now) for claim in claims],
    )
    return changed


@cache
def _lanes_json(lanes: tuple[str, ...]) -> str:
    return json.dumps(lanes)

"""Release: give claims back that were never started, as if they had not been made."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from orpheus.domain.job import JobState
from orpheus.store.transaction import Transaction

_OPEN = """
SELECT a.job_id, a.number, j.type, j.queue, j.cancel_requested
FROM attempts AS a JOIN jobs AS j ON j.id = a.job_id
WHERE a.id = ? AND a.worker_id = ? AND a.outcome IS NULL
"""

_RETURN_JOB = """
UPDATE jobs SET state = :state, attempt = :attempt, finished_at = :finished_at,
       worker = (SELECT worker FROM attempts WHERE job_id = :job ORDER BY number DESC LIMIT 1)
WHERE id = :job AND state = 'in_progress'
"""


_WAITING = """
SELECT id FROM attempts INDEXED BY attempts_one_open
WHERE worker_id = ? AND outcome IS NULL AND id > ? ORDER BY id
"""


def waiting_behind(connection: sqlite3.Connection, worker_id: int, attempt_id: int) -> list[int]:
    """The open attempts of a worker that it claimed to run after this one."""
    return [int(row[0]) for row in connection.execute(_WAITING, (worker_id, attempt_id))]


def release(tx: Transaction, worker_id: int, attempt_ids: Sequence[int]) -> int:
    """Delete the open attempts of this worker and return how many there were.

    The attempt's number is returned with it; its id, being the fencing token, is not used again.
    The caller must know that none of them runs or will run (protocol B). An attempt that is no
    longer open is skipped: the other side has released it already.
    """
    released = 0
    for attempt_id in attempt_ids:
        row = tx.connection.execute(_OPEN, (attempt_id, worker_id)).fetchone()
        if row is None:
            continue
        job_id, number, type_, queue, cancel_requested = row
        deleted = tx.connection.execute(
            "DELETE FROM attempts WHERE id = ? AND outcome IS NULL", (attempt_id,)
        ).rowcount
        after = JobState.CANCELLED if cancel_requested else JobState.PENDING
        moved = tx.connection.execute(
            _RETURN_JOB,
            {
                "state": after,
                "attempt": number - 1,
                "finished_at": tx.now if cancel_requested else None,
                "job": job_id,
            },
        ).rowcount
        if deleted != 1 or moved != 1:
            raise RuntimeError(f"released {deleted} attempts and {moved} jobs of one")
        tx.counters.move(queue, type_, JobState.IN_PROGRESS, after)
        if after is JobState.CANCELLED:
            tx.totals.add("jobs_finished", queue, type_, after)
            tx.activity.add(after)
        reason = "cancel" if cancel_requested else "released"
        tx.events.state(job_id, type_, queue, after, number - 1, reason)
        released += 1
    return released

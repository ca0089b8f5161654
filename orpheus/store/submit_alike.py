"""Submit of many jobs that differ in their payloads only: two statements for all of them.

Called by the writer for large batches. What it leaves in the database is what `submit` would.
"""

from __future__ import annotations

from dataclasses import dataclass

from orpheus.clock import to_rfc3339
from orpheus.domain.event import STATE_EVENTS
from orpheus.domain.job import JobState, NewJob
from orpheus.store import queues
from orpheus.store.submit import check_room
from orpheus.store.transaction import Transaction

_INSERT = """
INSERT INTO jobs (id, type, queue, lane, state, priority, payload, max_retries, max_crashes,
                  backoff_base, backoff_cap, timeout, meta, created_at, run_at)
SELECT :first + key, :type, :queue, :lane, :state, :priority, value, :max_retries, :max_crashes,
       :backoff_base, :backoff_cap, :timeout, :meta, :now, :run_at
FROM json_each(:payloads)
"""

_EVENTS = """
INSERT INTO events (at, event, job_id, type, queue, state, attempt, reason, data)
SELECT :now, :event, id, type, queue, state, 0, 'submitted', :data
FROM jobs WHERE id >= :first ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Run:
    """`count` jobs like `job`; `payloads` is a JSON array of their payloads' texts."""

    job: NewJob
    payloads: str
    count: int


def submit_alike(tx: Transaction, run: Run, max_pending: int) -> tuple[int, JobState]:
    """Insert all or none; the first id, from which the others count up, and their state.

    Raises RequestError `queue_full` where more than `max_pending` jobs would wait.
    """
    job = run.job
    assert job.unique_key is None
    assert job.ref is None
    assert not job.tags
    check_room(tx, run.count, max_pending)
    run_at = job.due_at(tx.now)
    state = JobState.SCHEDULED if run_at > tx.now else JobState.PENDING
    first = tx.next_id("jobs")
    queues.ensure(tx, [job.queue])
    inserted = tx.connection.execute(
        _INSERT,
        {
            "first": first,
            "type": job.type,
            "queue": job.queue,
            "lane": job.lane,
            "state": state.value,
            "priority": job.priority,
            "payloads": run.payloads,
            "max_retries": job.max_retries,
            "max_crashes": job.max_crashes,
            "backoff_base": job.backoff_base,
            "backoff_cap": job.backoff_cap,
            "timeout": job.timeout,
            "meta": job.meta,
            "now": tx.now,
            "run_at": run_at,
        },
    ).rowcount
    assert inserted == run.count
    data = f'{{"run_at":"{to_rfc3339(run_at)}"}}' if state is JobState.SCHEDULED else None
    tx.connection.execute(
        _EVENTS, {"now": tx.now, "event": str(STATE_EVENTS[state]), "first": first, "data": data}
    )
    tx.counters.move(job.queue, job.type, None, state, run.count)
    tx.totals.add("jobs_submitted", job.queue, job.type, value=run.count)
    tx.activity.add("submitted", run.count)
    return first, state

"""Submit of many jobs that differ in their payloads only: a few statements for all of them.

Called for large batches by the writer and by the direct client. What it leaves in the database is
what `submit` would.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from orpheus.clock import to_rfc3339
from orpheus.domain.event import STATE_EVENTS
from orpheus.domain.job import JobState, NewJob
from orpheus.store import queues
from orpheus.store.staging import Staged
from orpheus.store.submit import look
from orpheus.store.transaction import Transaction

# Rows of one INSERT. Bound values rather than a JSON array: SQLite would have to parse all of a
# batch while everybody waits. Of a batch's last statement the places left over are NULL.
_ROWS = 500
_LAST_ROWS = 50


# The ids follow from AUTOINCREMENT, in the order given: naming them costs a search a row.
_INSERT = """
INSERT INTO jobs (type, queue, lane, state, priority, max_retries, max_crashes, backoff_base,
                  backoff_cap, timeout, meta, created_at, run_at, payload)
SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, column1
FROM (VALUES (?)) WHERE column1 IS NOT NULL
"""
_INSERT_STAGED = _INSERT.replace("payload)", "payload_id, payload)").replace(
    "column1\n", "column1, ''\n"
)

# An array of nothing but places. The new rows of `jobs` would have to be read again.
_EVENTS = """
INSERT INTO events (at, event, job_id, type, queue, state, attempt, reason, data)
SELECT :now, :event, :first + key, :type, :queue, :state, 0, 'submitted', :data
FROM json_each(:places)
"""


@dataclass(frozen=True, slots=True)
class Run:
    """`count` jobs like `job`, with a payload each."""

    job: NewJob
    payloads: Sequence[str]
    count: int


def payloads_of(jobs: Sequence[NewJob] | Run) -> Sequence[str]:
    """The payloads of jobs, in order."""
    return jobs.payloads if isinstance(jobs, Run) else [job.payload for job in jobs]


def submit_alike(
    tx: Transaction, run: Run, max_pending: int, staged: Staged | None = None
) -> tuple[int, JobState]:
    """Insert all or none; the first id, from which the others count up, and their state.

    Where the payloads are `staged`, those in `run` are not looked at. Raises RequestError
    `queue_full` where more than `max_pending` jobs would wait.
    """
    job = run.job
    assert len(run.payloads) == run.count
    assert job.unique_key is None
    assert job.ref is None
    assert not job.tags
    before = look(tx, job.queue)
    before.check_room(run.count, max_pending)
    run_at = job.due_at(tx.now)
    state = JobState.SCHEDULED if run_at > tx.now else JobState.PENDING
    first = before.next_id
    if before.queue is None:
        queues.ensure(tx, [job.queue])
    if staged is None:
        last = _insert_jobs(tx, run, _INSERT, run.payloads, state, run_at)
    else:
        last = _insert_jobs(tx, run, _INSERT_STAGED, staged.ids, state, run_at)
        staged.use(tx)
    assert last == first + run.count - 1
    due = f'{{"run_at":"{to_rfc3339(run_at)}"}}' if state is JobState.SCHEDULED else None
    _insert_events(tx, run, first, state, due)
    tx.counters.move(job.queue, job.type, None, state, run.count)
    tx.totals.add("jobs_submitted", job.queue, job.type, value=run.count)
    tx.activity.add("submitted", run.count)
    return first, state


def _insert_jobs(
    tx: Transaction,
    run: Run,
    statement: str,
    each: Sequence[str | int],
    state: JobState,
    run_at: int,
) -> int | None:
    """The last id; `each` job has one of its own for the statement's last place."""
    job = run.job
    same = (
        job.type,
        job.queue,
        job.lane,
        state.value,
        job.priority,
        job.max_retries,
        job.max_crashes,
        job.backoff_base,
        job.backoff_cap,
        job.timeout,
        job.meta,
        tx.now,
        run_at,
    )
    cursor = tx.connection.cursor()
    start = 0
    many, last = _of(statement, _ROWS), _of(statement, _LAST_ROWS)
    while run.count - start >= _ROWS:
        cursor.execute(many, (*same, *each[start : start + _ROWS]))
        start += _ROWS
    while start < run.count:
        some = each[start : start + _LAST_ROWS]
        cursor.execute(last, (*same, *some, *[None] * (_LAST_ROWS - len(some))))
        start += _LAST_ROWS
    return cursor.lastrowid


@cache
def _of(statement: str, rows: int) -> str:
    return statement.replace("(?)", ", ".join(["(?)"] * rows))


def _insert_events(
    tx: Transaction, run: Run, first: int, state: JobState, data: str | None
) -> None:
    tx.connection.execute(
        _EVENTS,
        {
            "now": tx.now,
            "event": str(STATE_EVENTS[state]),
            "first": first,
            "type": run.job.type,
            "queue": run.job.queue,
            "state": state.value,
            "data": data,
            "places": f"[{'0,' * (run.count - 1)}0]",
        },
    )

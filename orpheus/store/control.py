"""What people do to jobs: cancel, retry by hand, delete."""

from __future__ import annotations

import json
import sqlite3

from orpheus.domain.event import JOB_CANCEL_REQUESTED, JOB_DELETED
from orpheus.domain.job import FINAL, WAITING, JobState
from orpheus.errors import RequestError
from orpheus.store.transaction import Transaction
from orpheus.store.unique_keys import holder_of

_Job = tuple[str, str, JobState, int, int, str | None]


_CANCELS_WANTED = """
SELECT a.id, a.worker_id FROM jobs AS j
JOIN attempts AS a ON a.job_id = j.id AND a.outcome IS NULL
WHERE j.cancel_requested = 1 AND j.state = 'in_progress'
"""


def cancels_wanted(connection: sqlite3.Connection) -> list[tuple[int, int]]:
    """(attempt id, worker id) of the open attempts whose jobs were asked to cancel."""
    return connection.execute(_CANCELS_WANTED).fetchall()


def cancel(tx: Transaction, job_id: int) -> bool:
    """Cancel a waiting job, or ask for the cancellation of a running one.

    Returns whether it runs (the request is accepted, not yet carried out). Cancelling twice is
    no error. Raises RequestError not_found, or invalid_state for a done or failed job.
    """
    type_, queue, state, attempt, cancel_requested, _ = _job(tx, job_id)
    if state is JobState.CANCELLED:
        return False
    if state in WAITING:
        tx.connection.execute(
            "UPDATE jobs SET state = 'cancelled', finished_at = ?, parents_left = 0"
            " WHERE id = ? AND state = ?",
            (tx.now, job_id, state),
        )
        tx.counters.move(queue, type_, state, JobState.CANCELLED)
        tx.totals.add("jobs_finished", queue, type_, JobState.CANCELLED)
        tx.activity.add("cancelled")
        tx.events.state(job_id, type_, queue, JobState.CANCELLED, attempt, "cancel")
        return False
    if state is not JobState.IN_PROGRESS:
        raise RequestError("invalid_state", f"job {job_id} is {state}: there is nothing to cancel")
    if not cancel_requested:
        tx.connection.execute("UPDATE jobs SET cancel_requested = 1 WHERE id = ?", (job_id,))
        tx.events.job(JOB_CANCEL_REQUESTED, job_id, type_, queue, state, attempt, "cancel")
    return True


def retry(tx: Transaction, job_id: int) -> bool:
    """Make a failed, cancelled or scheduled job pending now.

    A failed or cancelled job gets its budgets back; its attempts and their numbering stay.
    Returns whether anything changed (a pending job is left as it is). Raises RequestError
    not_found, invalid_state, or unique_conflict where its unique key has another holder.
    """
    type_, queue, state, attempt, _, unique_key = _job(tx, job_id)
    if state is JobState.PENDING:
        return False
    if state is JobState.SCHEDULED:
        tx.connection.execute(
            "UPDATE jobs SET state = 'pending', run_at = ? WHERE id = ? AND state = 'scheduled'",
            (tx.now, job_id),
        )
    elif state in (JobState.FAILED, JobState.CANCELLED):
        _check_key(tx, job_id, unique_key)
        tx.connection.execute(
            "UPDATE jobs SET state = 'pending', retries = 0, crashes = 0, run_at = ?,"
            " finished_at = NULL, cancel_requested = 0"
            " WHERE id = ? AND state IN ('failed', 'cancelled')",
            (tx.now, job_id),
        )
    else:
        raise RequestError(
            "invalid_state", f"job {job_id} is {state}: only failed, cancelled or scheduled ones"
            " can be retried"
        )  # fmt: skip
    tx.counters.move(queue, type_, state, JobState.PENDING)
    tx.events.state(job_id, type_, queue, JobState.PENDING, attempt, "by_hand")
    return True


def delete(tx: Transaction, job_id: int) -> None:
    """Delete a job that has ended, with its attempts and logs.

    Raises RequestError not_found, or invalid_state where it has not ended.
    """
    type_, queue, state, attempt, _, _ = _job(tx, job_id)
    if state not in FINAL:
        raise RequestError(
            "invalid_state", f"job {job_id} is {state}: cancel it before deleting it"
        )
    delete_rows(tx, [job_id])
    tx.counters.move(queue, type_, state, None)
    tx.events.job(JOB_DELETED, job_id, type_, queue, state, attempt, "by_hand")


def delete_rows(tx: Transaction, job_ids: list[int]) -> None:
    """Delete jobs with all that belongs to them; counters and events are the caller's."""
    ids = json.dumps(job_ids)
    tx.connection.execute(
        "DELETE FROM tags WHERE (tag, job_id) IN ("
        " SELECT t.value, j.id FROM jobs AS j, json_each(j.tags) AS t"
        " WHERE j.id IN (SELECT value FROM json_each(?)))",
        (ids,),
    )
    tx.connection.execute(
        "DELETE FROM payloads WHERE id IN (SELECT payload_id FROM jobs"
        " WHERE jobs.id IN (SELECT value FROM json_each(?)))",
        (ids,),
    )
    tx.connection.execute("DELETE FROM jobs WHERE id IN (SELECT value FROM json_each(?))", (ids,))


def _job(tx: Transaction, job_id: int) -> _Job:
    row = tx.connection.execute(
        "SELECT type, queue, state, attempt, cancel_requested, unique_key FROM jobs WHERE id = ?",
        (job_id,),
    ).fetchone()
    if row is None:
        raise RequestError("not_found", f"there is no job {job_id}")
    return (row[0], row[1], JobState(row[2]), row[3], row[4], row[5])


def _check_key(tx: Transaction, job_id: int, unique_key: str | None) -> None:
    if unique_key is None:
        return
    holder = holder_of(tx, unique_key)
    if holder is not None:
        raise RequestError(
            "unique_conflict",
            f"job {holder[0]} is active under the unique_key of job {job_id}; "
            "wait for it to end or cancel it",
        )

"""Settle: write how attempts ended, fenced by their ids; jobs move as `domain.settlement` says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from orpheus.clock import SECOND_US, to_rfc3339
from orpheus.domain.job import FINAL, JobState
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.domain.settlement import Budgets, Decision, decide
from orpheus.store.transaction import Transaction

_OPEN = """
SELECT a.id, a.job_id, a.number, a.started_at, j.type, j.queue, j.run_at, j.retries, j.crashes,
       j.max_retries, j.max_crashes, j.backoff_base, j.backoff_cap, j.cancel_requested
FROM json_each(?) AS f
CROSS JOIN attempts AS a ON a.id = f.value
CROSS JOIN jobs AS j ON j.id = a.job_id
WHERE a.outcome IS NULL
"""

_CLOSE_ATTEMPT = """
UPDATE attempts SET outcome = ?, started_at = ?, finished_at = ?, error = ?, exit = ?
WHERE id = ? AND outcome IS NULL
"""

_MOVE_JOB = """
UPDATE jobs SET state = ?, result = ?, error = ?, retries = ?, crashes = ?,
       run_at = coalesce(?, run_at), started_at = coalesce(?, started_at), finished_at = ?,
       cancel_requested = CASE WHEN ? THEN cancel_requested ELSE 0 END
WHERE id = ? AND state = 'in_progress'
"""


@dataclass(frozen=True, slots=True)
class Batch:
    """Finished attempts with their JSON made, which must not happen inside the gate."""

    finished: dict[int, FinishedAttempt]
    errors: dict[int, str]
    event_errors: dict[int, str]
    ids: str

    @classmethod
    def of(cls, finished: Sequence[FinishedAttempt]) -> Batch:
        by_id = {one.attempt_id: one for one in finished}
        return cls(
            by_id,
            {one.attempt_id: one.error.to_json() for one in finished if one.error},
            {one.attempt_id: _event_error(one.error) for one in finished if one.error},
            json.dumps(list(by_id)),
        )


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did: attempts whose lease was lost, and the earliest new due time."""

    lost: tuple[int, ...] = ()
    moved: int = 0
    pending: int = 0


def settle(tx: Transaction, batch: Batch, rng: Random) -> Settled:
    """Close the attempts that are still open and move their jobs.

    An attempt that is no longer open is reported as lost unless it was closed with this very
    outcome (its outbox entry was settled by maintenance). Nothing is written for it.
    """
    if not batch.finished:
        return Settled()
    rows = tx.connection.execute(_OPEN, (batch.ids,)).fetchall()
    attempts = []
    jobs = []
    pending = 0
    for row in rows:
        id_, job_id, number, marked_at, type_, queue, run_at = row[:7]
        finished = batch.finished[id_]
        decision = decide(finished.outcome, Budgets(*row[7:]), rng)
        started_at = finished.started_at if finished.started_at is not None else marked_at
        error = batch.errors.get(id_)
        attempts.append(
            (finished.outcome, started_at, finished.finished_at, error, finished.exit, id_)
        )
        jobs.append(_job_row(tx, job_id, finished, decision, started_at, error))
        pending += decision.state is JobState.PENDING
        _record(tx, type_, queue, finished, decision, started_at, run_at)
        tx.events.state(
            job_id, type_, queue, decision.state, number, decision.reason,
            _event_data(tx, decision, batch.event_errors.get(id_)),
        )  # fmt: skip
    closed = tx.connection.executemany(_CLOSE_ATTEMPT, attempts).rowcount if attempts else 0
    moved = tx.connection.executemany(_MOVE_JOB, jobs).rowcount if jobs else 0
    if closed != len(rows) or moved != len(rows):
        raise RuntimeError(f"settled {closed} attempts and {moved} jobs of {len(rows)}")
    return Settled(_lost(tx, batch, {row[0] for row in rows}), moved, pending)


def _job_row(
    tx: Transaction,
    job_id: int,
    finished: FinishedAttempt,
    decision: Decision,
    started_at: int | None,
    error: str | None,
) -> tuple[str | int | None, ...]:
    final = decision.state in FINAL
    return (
        decision.state,
        finished.result,
        error,
        decision.retries,
        decision.crashes,
        None if decision.delay is None else tx.now + decision.delay,
        started_at,
        finished.finished_at if final else None,
        final,
        job_id,
    )


def _record(
    tx: Transaction,
    type_: str,
    queue: str,
    finished: FinishedAttempt,
    decision: Decision,
    started_at: int | None,
    run_at: int,
) -> None:
    tx.counters.move(queue, type_, JobState.IN_PROGRESS, decision.state)
    totals = tx.totals
    totals.add("attempts", queue, type_, finished.outcome)
    if decision.state in FINAL:
        totals.add("jobs_finished", queue, type_, decision.state)
        tx.activity.add(decision.state)
    if started_at is not None:
        totals.observe("wait_seconds", queue, type_, (started_at - run_at) / SECOND_US)
        totals.observe("run_seconds", queue, type_, (finished.finished_at - started_at) / SECOND_US)


def _lost(tx: Transaction, batch: Batch, settled: set[int]) -> tuple[int, ...]:
    if len(settled) == len(batch.finished):
        return ()
    lost = []
    for id_, finished in batch.finished.items():
        if id_ in settled:
            continue
        row = tx.connection.execute(
            "SELECT outcome, finished_at FROM attempts WHERE id = ?", (id_,)
        ).fetchone()
        if row != (finished.outcome, finished.finished_at):
            lost.append(id_)
            tx.totals.add("fenced_writes")
    return tuple(lost)


def _event_error(error: AttemptError) -> str:
    return json.dumps({"type": error.type, "message": error.message[:500], "kind": error.kind})


def _event_data(tx: Transaction, decision: Decision, error: str | None) -> str | None:
    parts = []
    if decision.delay is not None:
        parts.append(f'"run_at":"{to_rfc3339(tx.now + decision.delay)}"')
    if error is not None:
        parts.append(f'"error":{error}')
    return "{" + ",".join(parts) + "}" if parts else None

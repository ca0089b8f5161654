"""Settle: write how attempts ended, fenced by their ids; jobs move as `domain.settlement` says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from orpheus.clock import SECOND_US, to_rfc3339
from orpheus.domain.attempt import Outcome
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

# Most jobs. The same as _MOVE_JOB for this outcome, in two thirds of the time.
_FINISH_JOB = """
UPDATE jobs SET state = 'done', result = ?, error = NULL,
       started_at = coalesce(?, started_at), finished_at = ?
WHERE id = ? AND state = 'in_progress'
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
        if not finished:
            return _NOTHING
        by_id = {one.attempt_id: one for one in finished}
        return cls(
            by_id,
            {one.attempt_id: one.error.to_json() for one in finished if one.error},
            {one.attempt_id: _event_error(one.error) for one in finished if one.error},
            json.dumps(list(by_id)),
        )


_NOTHING = Batch({}, {}, {}, "[]")


@dataclass(frozen=True, slots=True)
class Settled:
    """What a settlement did: attempts whose lease was lost, jobs moved, those that wait again."""

    lost: tuple[int, ...] = ()
    moved: int = 0
    pending: int = 0
    scheduled: int = 0


def settle(tx: Transaction, batch: Batch, rng: Random) -> Settled:
    """Close the attempts that are still open and move their jobs.

    An attempt that is no longer open is reported as lost unless it was closed with this very
    outcome (its outbox entry was settled by maintenance). Nothing is written for it.
    """
    if not batch.finished:
        return Settled()
    rows = tx.connection.execute(_OPEN, (batch.ids,)).fetchall()
    attempts = []
    done = []
    others = []
    pending = scheduled = 0
    groups: dict[_Group, _Times] = {}
    for id_, job_id, number, marked_at, type_, queue, run_at, *budgets in rows:
        finished = batch.finished[id_]
        started_at = finished.started_at if finished.started_at is not None else marked_at
        error = batch.errors.get(id_)
        attempts.append(
            (finished.outcome.value, started_at, finished.finished_at, error, finished.exit, id_)
        )
        if finished.outcome is Outcome.DONE:
            # What `decide` answers whatever the budgets are.
            done.append((finished.result, started_at, finished.finished_at, job_id))
            state = JobState.DONE
            tx.events.state(job_id, type_, queue, state, number, "done")
        else:
            decision = decide(finished.outcome, Budgets(*budgets), rng)
            state = decision.state
            others.append(_job_row(tx, job_id, finished, decision, started_at, error))
            pending += state is JobState.PENDING
            scheduled += state is JobState.SCHEDULED
            data = _event_data(tx, decision, batch.event_errors.get(id_))
            tx.events.state(job_id, type_, queue, state, number, decision.reason, data)
        group = (queue, type_, finished.outcome, state)
        times = groups.get(group)
        if times is None:
            times = groups[group] = _Times()
        times.add(run_at, started_at, finished.finished_at)
    closed = _write(tx, _CLOSE_ATTEMPT, attempts)
    moved = _write(tx, _FINISH_JOB, done) + _write(tx, _MOVE_JOB, others)
    if closed != len(rows) or moved != len(rows):
        raise RuntimeError(f"settled {closed} attempts and {moved} jobs of {len(rows)}")
    for group, times in groups.items():
        _record(tx, group, times)
    return Settled(_lost(tx, batch, {row[0] for row in rows}), moved, pending, scheduled)


def _write(tx: Transaction, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    """Run the statement for each row and return how many rows of the table it changed."""
    return tx.connection.executemany(statement, rows).rowcount if rows else 0


_Group = tuple[str, str, Outcome, JobState]


class _Times:
    """How long the attempts of one group waited and ran, in seconds."""

    __slots__ = ("count", "ran", "waited")

    def __init__(self) -> None:
        self.count = 0
        self.waited: list[float] = []
        self.ran: list[float] = []

    def add(self, run_at: int, started_at: int | None, finished_at: int) -> None:
        """One attempt; one that never started has no times."""
        self.count += 1
        if started_at is not None:
            # A wall clock that was set back must not make a negative duration.
            self.waited.append(max(0.0, (started_at - run_at) / SECOND_US))
            self.ran.append(max(0.0, (finished_at - started_at) / SECOND_US))


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
        decision.state.value,
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


def _record(tx: Transaction, group: _Group, times: _Times) -> None:
    queue, type_, outcome, state = group
    tx.counters.move(queue, type_, JobState.IN_PROGRESS, state, times.count)
    totals = tx.totals
    totals.add("attempts", queue, type_, outcome, times.count)
    if state in FINAL:
        totals.add("jobs_finished", queue, type_, state, times.count)
        tx.activity.add(state, times.count)
    if times.ran:
        totals.observe("wait_seconds", queue, type_, times.waited)
        totals.observe("run_seconds", queue, type_, times.ran)


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
    if error is None and decision.delay is None:
        return None
    parts = []
    if decision.delay is not None:
        parts.append(f'"run_at":"{to_rfc3339(tx.now + decision.delay)}"')
    if error is not None:
        parts.append(f'"error":{error}')
    return "{" + ",".join(parts) + "}"

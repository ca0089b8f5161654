"""Settle: write how attempts ended, fenced by their ids; jobs move as `domain.settlement` says."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from orpheus.clock import to_rfc3339
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.job import FINAL, JobState
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.domain.settlement import Budgets, Decision, decide
from orpheus.store.settle_plain import FINISH_JOB, Plain, settle_plain
from orpheus.store.settled import Settled, Times, record
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
    """Finished attempts with what is written of them made, which must not happen in the gate."""

    finished: dict[int, FinishedAttempt]
    errors: dict[int, str]
    event_errors: dict[int, str]
    ids: str
    plain: Plain | None = None

    @classmethod
    def of(
        cls, finished: Sequence[FinishedAttempt], claims: Mapping[int, Claim] | None = None
    ) -> Batch:
        """`claims`, by attempt id, are known to the worker whose attempts these are."""
        if not finished:
            return _NOTHING
        plain = None if claims is None else Plain.of(finished, claims)
        by_id = {one.attempt_id: one for one in finished}
        return cls(
            by_id,
            {one.attempt_id: one.error.to_json() for one in finished if one.error},
            {one.attempt_id: _event_error(one.error) for one in finished if one.error},
            json.dumps(list(by_id)),
            plain,
        )


_NOTHING = Batch({}, {}, {}, "[]")


def settle(tx: Transaction, batch: Batch, rng: Random) -> Settled:
    """Close the attempts that are still open and move their jobs.

    An attempt that is no longer open is reported as lost unless it was closed with this very
    outcome (its outbox entry was settled by maintenance). Nothing is written for it. Raises
    NotAllOpen where a batch is plain and they are not.
    """
    if not batch.finished:
        return Settled()
    if batch.plain is not None:
        return settle_plain(tx, batch.plain)
    rows = tx.connection.execute(_OPEN, (batch.ids,)).fetchall()
    attempts = []
    done = []
    others = []
    pending = scheduled = 0
    groups: dict[_Group, Times] = {}
    done_alike: defaultdict[tuple[str, str, int], list[int]] = defaultdict(list)
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
            done_alike[queue, type_, number].append(job_id)
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
            times = groups[group] = Times()
        times.add(run_at, started_at, finished.finished_at)
    closed = _write(tx, _CLOSE_ATTEMPT, attempts)
    moved = _write(tx, FINISH_JOB, done) + _write(tx, _MOVE_JOB, others)
    if closed != len(rows) or moved != len(rows):
        raise RuntimeError(f"settled {closed} attempts and {moved} jobs of {len(rows)}")
    for (queue, type_, number), ids in done_alike.items():
        tx.events.alike(ids, type_, queue, JobState.DONE, number, "done")
    for (queue, type_, outcome, ended), times in groups.items():
        record(tx, queue, type_, outcome, ended, times.observed())
    return Settled(_lost(tx, batch, {row[0] for row in rows}), moved, pending, scheduled)


def _write(tx: Transaction, statement: str, rows: Sequence[tuple[object, ...]]) -> int:
    """Run the statement for each row and return how many rows of the table it changed."""
    return tx.connection.executemany(statement, rows).rowcount if rows else 0


_Group = tuple[str, str, Outcome, JobState]


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

"""Reclaim: take the open attempts of a dead worker back, through the same settlement.

The caller has proof of death (protocol E): the worker was reaped or its lock file is free.
Expiry alone never reclaims.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from orpheus.domain.attempt import Outcome
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.store.settle import Batch, settle
from orpheus.store.settled import Settled
from orpheus.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Death:
    """What is known of a worker's end.

    `running` is the attempt whose user code ran, None where nothing did; `outcome` is what it is
    recorded as, `started_at` (microseconds) when it began, `exit` how the process ended
    ("SIGKILL", "exit 3"), `reason` the label of the reclaim.
    """

    reason: str
    running: int | None = None
    outcome: Outcome = Outcome.CRASHED
    started_at: int | None = None
    exit: str | None = None


def reclaim(tx: Transaction, worker_id: int, death: Death, rng: Random) -> Settled:
    """Settle what a dead worker left open: the running attempt as `death` says, the rest as
    interrupted."""
    open_ids = [
        int(row[0])
        for row in tx.connection.execute(
            # The index is short; in the order of ids all that ever ran would be walked through.
            "SELECT id FROM attempts INDEXED BY attempts_one_open"
            " WHERE worker_id = ? AND outcome IS NULL ORDER BY id",
            (worker_id,),
        )
    ]
    if not open_ids:
        return Settled()
    finished = [_end(attempt_id, death, tx.now) for attempt_id in open_ids]
    tx.totals.add("leases_reclaimed", label=death.reason, value=len(finished))
    return settle(tx, Batch.of(finished), rng)


def _end(attempt_id: int, death: Death, now: int) -> FinishedAttempt:
    if attempt_id != death.running:
        return FinishedAttempt(attempt_id, Outcome.INTERRUPTED, None, now, exit=death.exit)
    return FinishedAttempt(
        attempt_id,
        death.outcome,
        death.started_at,
        now,
        error=_error(death),
        exit=death.exit,
    )


_MESSAGES = {
    Outcome.CRASHED: ("WorkerDied", "the worker process ended while this job ran"),
    Outcome.TIMED_OUT: ("JobTimedOut", "the job outlived its timeout and was killed"),
    Outcome.CANCELLED: ("JobCancelled", "the job was killed after it was asked to cancel"),
}


def _error(death: Death) -> AttemptError | None:
    if death.outcome not in _MESSAGES:
        return None
    type_, message = _MESSAGES[death.outcome]
    suffix = f" ({death.exit})" if death.exit else ""
    return AttemptError(type_, message + suffix, death.outcome)

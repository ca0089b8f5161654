"""A worker's turn: settle what is finished, promote what is due, claim what there is room for.

One transaction, so that a batch of jobs costs one sync.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from orpheus.domain.attempt import Claim
from orpheus.store.claim import WorkerIdentity, claim
from orpheus.store.promote import promote
from orpheus.store.release import release
from orpheus.store.settle import Batch, settle
from orpheus.store.settled import Settled
from orpheus.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Turn:
    """What a turn brought.

    `more` tells whether others should look: there is something left to claim, or may be after a
    turn that claimed nothing on purpose.
    """

    claims: list[Claim]
    settled: Settled
    promoted: int
    more: bool


def turn(
    tx: Transaction,
    worker: WorkerIdentity,
    finished: Batch,
    give_back: Sequence[int],
    room: int,
    rng: Random,
    due: bool = True,
) -> Turn:
    """Settle `finished`, release the attempts in `give_back`, promote, and claim up to `room`.

    Not `due`: the caller knows that nothing is to be promoted.
    """
    settled = settle(tx, finished, rng)
    if give_back:
        release(tx, worker.id, give_back)
    promoted = promote(tx) if due else 0
    claims, more = claim(tx, worker, room)
    return Turn(claims, settled, promoted, more or room <= 0)

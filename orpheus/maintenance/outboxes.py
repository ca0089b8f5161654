"""Outboxes: finished outcomes are settled for workers that are busy with a later job."""

from __future__ import annotations

from orpheus.clock import SECOND_NS
from orpheus.domain.outcome import FinishedAttempt
from orpheus.ipc.outbox import Outbox
from orpheus.ipc.scoreboard import Slot
from orpheus.maintenance.pool import Pool
from orpheus.store.settle import Batch, settle

# A worker that is not held up settles its own sooner.
SETTLE_AFTER_NS = SECOND_NS // 50


def finished_in(outbox: Outbox) -> Batch:
    """What an outbox holds, ready to be settled."""
    return Batch.of([FinishedAttempt.decode(data) for data in outbox.entries()])


class Outboxes:
    """Remembers what it has settled, so that an outbox that waits costs one transaction."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._settled: dict[int, tuple[int, int, int]] = {}

    def waiting(self) -> bool:
        """Whether some outbox holds what is not settled yet."""
        return any(
            self._is_new(slot, Outbox(slot, self._pool.clock)) for slot in self._pool.living()
        )

    def settle(self) -> None:
        """Settle what has waited for 20 ms."""
        now = self._pool.clock.monotonic()
        for slot in self._pool.living():
            outbox = Outbox(slot, self._pool.clock)
            if self._is_new(slot, outbox) and now - outbox.oldest > SETTLE_AFTER_NS:
                self._settle(slot, outbox)

    def _is_new(self, slot: Slot, outbox: Outbox) -> bool:
        return len(outbox) > 0 and self._settled.get(slot.index) != self._mark(slot, outbox)

    def _mark(self, slot: Slot, outbox: Outbox) -> tuple[int, int, int]:
        return (slot.worker_id, outbox.generation, len(outbox))

    def _settle(self, slot: Slot, outbox: Outbox) -> None:
        mark = self._mark(slot, outbox)
        batch = finished_in(outbox)
        if not batch.finished:
            return
        with self._pool.write() as tx:
            settled = settle(tx, batch, self._pool.rng)
        self._settled[slot.index] = mark
        if settled.pending or settled.scheduled:
            self._pool.ring_workers()
        self._pool.ring_feeds()

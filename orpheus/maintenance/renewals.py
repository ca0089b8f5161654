"""Renewals: leases of living workers, the marks of what they run, and requests to cancel."""

from __future__ import annotations

from orpheus.clock import SECOND_NS
from orpheus.ipc.scoreboard import Slot
from orpheus.maintenance.pool import Pool
from orpheus.store import workers
from orpheus.store.control import cancels_wanted
from orpheus.store.renew import mark_started, renew

# A job that is over sooner is marked by its own settlement.
_WORTH_MARKING_NS = SECOND_NS // 10


class Renewals:
    """Remembers when it last renewed, since a gap of ours says nothing about other pools."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._last = 0
        self._unbroken_since = pool.clock.monotonic()
        self._marked: set[int] = set()
        self._draining: set[int] = set()

    @property
    def interval(self) -> int:
        """Nanoseconds between renewals: a third of the lease."""
        return self._pool.lease // 3

    def unbroken_for_a_lease(self) -> bool:
        """Whether this process renewed without a gap for a whole lease."""
        return self._pool.clock.monotonic() - self._unbroken_since >= self._pool.lease

    def renew(self) -> None:
        """Extend the leases of the workers the master lists as alive."""
        living = [slot.worker_id for slot in self._pool.living()]
        with self._pool.write(synced=False) as tx:
            renew(tx, living, self._pool.lease)
        # Read after the write: who waited at the gate did so beside everybody else.
        now = self._pool.clock.monotonic()
        if self._last and now - self._last > 2 * self.interval:
            self._unbroken_since = now
        self._last = now

    def mark_running(self) -> None:
        """Note in the database what runs for a while, for those who look."""
        now = self._pool.clock.monotonic()
        running = {
            armed: slot.started_wall
            for slot in self._pool.living()
            if (armed := slot.armed) and now - slot.started_mono > _WORTH_MARKING_NS
        }
        new = {attempt: at for attempt, at in running.items() if attempt not in self._marked}
        if new:
            with self._pool.write(synced=False) as tx:
                mark_started(tx, new)
            self._pool.ring_feeds()
        self._marked = set(running)

    def mark_draining(self) -> None:
        """Note in the database which workers take no more jobs."""
        new = {slot.worker_id for slot in self._pool.living()} - self._draining
        if self._pool.board.draining and new:
            with self._pool.write(synced=False) as tx:
                for worker_id in new:
                    workers.drain(tx, worker_id)
            self._draining |= new

    def relay_cancels(self) -> None:
        """Tell the scoreboard which running attempts somebody wants cancelled."""
        wanted = cancels_wanted(self._pool.database.connection)
        if not wanted:
            return
        slots: dict[int, Slot] = {slot.worker_id: slot for slot in self._pool.living()}
        for attempt_id, worker_id in wanted:
            slot = slots.get(worker_id)
            if slot is not None and slot.armed == attempt_id:
                slot.cancel = attempt_id

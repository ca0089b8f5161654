"""The loop: which duty when, and how long to sleep between.

Sleeps long when nothing happens and is woken by its doorbell; every duty also comes round by
itself, so a lost ring costs latency only. Beats on the scoreboard every time round.
"""

from __future__ import annotations

import select

from orpheus.clock import SECOND_NS
from orpheus.errors import StoreBusy
from orpheus.ipc.doorbell import Doorbell
from orpheus.log import get_logger
from orpheus.maintenance.give_back import GiveBack
from orpheus.maintenance.outboxes import SETTLE_AFTER_NS, Outboxes
from orpheus.maintenance.output import Output
from orpheus.maintenance.pool import Pool
from orpheus.maintenance.recovery import (
    reclaim_other_pools,
    settle_dead_slots,
    settle_previous_runs,
)
from orpheus.maintenance.renewals import Renewals
from orpheus.maintenance.retention import Retention
from orpheus.store.promote import next_due, promote

_IDLE_NS = SECOND_NS // 2
_BUSY_NS = SECOND_NS // 10
_log = get_logger("maintenance.loop")


class Loop:
    """Everything maintenance does, until `stop`."""

    def __init__(self, pool: Pool, bell: Doorbell, output: Output, lifeline: int) -> None:
        self._pool = pool
        self._bell = bell
        self._output = output
        self._lifeline = lifeline
        self._renewals = Renewals(pool)
        self._outboxes = Outboxes(pool)
        self._give_back = GiveBack(pool)
        self._retention = Retention(pool)
        self._renew_due = 0
        self._recovered = False
        self.stopping = False

    def run(self) -> None:
        """Go round until told to stop, then settle what is left."""
        while not self.stopping:
            self._beat()
            try:
                self._round()
            except StoreBusy as error:
                # What was not written is still on the scoreboard or in memory: next time round.
                _log.warning("the store is busy", error=str(error))
                # Its turn may not have come: what is old must not be the reason to hurry.
                self._retention.rest()
            self._sleep()
        self._finish()

    def _round(self) -> None:
        if not self._recovered:
            settle_previous_runs(self._pool)
            self._recovered = True
        settle_dead_slots(self._pool)
        self._outboxes.settle()
        self._renewals.relay_cancels()
        self._renewals.mark_running()
        self._renewals.mark_draining()
        self._give_back.run()
        self._promote()
        due = self._output.due()
        if due is not None and due <= self._pool.clock.monotonic():
            self._output.store()
        self._renew()
        self._retention.run()
        self._pool.database.log.tend()

    def _renew(self) -> None:
        now = self._pool.clock.monotonic()
        if now < self._renew_due:
            return
        self._renewals.renew()
        self._renew_due = now + self._renewals.interval
        reclaim_other_pools(self._pool, may_kill=self._renewals.unbroken_for_a_lease())

    def _promote(self) -> None:
        """For when all workers are busy: an idle one wakes for a due job by itself."""
        due = next_due(self._pool.database.connection)
        if due is not None and due <= self._pool.clock.now():
            with self._pool.write() as tx:
                promote(tx)
            self._pool.ring_workers()
            self._pool.ring_feeds()

    def _beat(self) -> None:
        self._pool.board.maintenance_beat = self._pool.clock.monotonic()

    def _sleep(self) -> None:
        pause = _IDLE_NS
        if any(slot.token for slot in self._pool.living()):
            pause = _BUSY_NS
        if self._outboxes.waiting():
            pause = SETTLE_AFTER_NS
        due = min(self._retention.due, self._output.due() or self._retention.due)
        pause = min(pause, max(due - self._pool.clock.monotonic(), 0))
        bell, output = self._bell.fileno(), self._output.fileno()
        ready, _, _ = select.select([bell, output, self._lifeline], [], [], pause / SECOND_NS)
        if bell in ready:
            self._bell.drain()
        if output in ready:
            self._output.read()
        if self._lifeline in ready:
            self.stopping = True

    def _finish(self) -> None:
        """The workers are gone: settle them, store what they said."""
        self._beat()
        try:
            settle_dead_slots(self._pool)
            self._output.read()
            self._output.store()
        except StoreBusy as error:
            _log.error("stopped before everything was settled", error=str(error))

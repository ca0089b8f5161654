"""Give-back: claims that wait behind a slow job go to workers that are free (protocol B).

Whether a claim may be taken is decided by what the worker shows on the scoreboard, never by how
long ago it was made: a rule of time ran jobs twice.
"""

from __future__ import annotations

import time

from orpheus.clock import SECOND_NS
from orpheus.ipc.scoreboard import Slot
from orpheus.log import get_logger
from orpheus.maintenance.pool import Pool
from orpheus.store.release import release, waiting_behind

SLOW_AFTER_NS = SECOND_NS
# For a store of the worker to become visible: it writes its token and then reads the revoke word.
_SETTLE_SECONDS = 0.002
_log = get_logger("maintenance.give_back")


class GiveBack:
    """Remembers behind which attempt it has looked, so that one slow job costs one query."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._done: dict[int, int] = {}

    def run(self) -> None:
        """Give back what has waited behind a job for about a second."""
        now = self._pool.clock.monotonic()
        for slot in self._pool.living():
            running = slot.token
            if (
                running
                and slot.claimed > 1
                and slot.armed == running
                and now - slot.started_mono > SLOW_AFTER_NS
                and self._done.get(slot.index) != running
            ):
                self._give_back(slot, running)

    def _give_back(self, slot: Slot, running: int) -> None:
        worker_id = slot.worker_id
        waiting = waiting_behind(self._pool.database.connection, worker_id, running)
        if waiting:
            # Ids ascend in the order of execution, so one word revokes all that wait.
            slot.revoke_from = running + 1
            time.sleep(_SETTLE_SECONDS)
            if slot.token != running:
                # It has gone on: what it runs now is un-revoked. What it skipped in between it
                # gives back itself.
                slot.revoke_from = 0
                return
            # The word stays until the worker has seen it: from here on it starts none of them.
            with self._pool.write() as tx:
                released = release(tx, worker_id, waiting)
            self._pool.ring_workers()
            self._pool.ring_feeds()
            _log.info("gave claims back", worker_id=worker_id, behind=running, claims=released)
        self._done[slot.index] = running

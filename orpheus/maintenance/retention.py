"""Retention: what is older than the settings say is forgotten, in small transactions."""

from __future__ import annotations

from orpheus.clock import SECOND_NS, SECOND_US
from orpheus.domain.job import JobState
from orpheus.maintenance.pool import Pool
from orpheus.store.prune import has_old_jobs, prune_events, prune_jobs, prune_rest

_ROUND_EVERY_NS = 30 * SECOND_NS
_DAY_US = 86_400 * SECOND_US
# Of the time while there is more to forget: the rest is for the jobs. Waiting for the gate counts,
# so that it takes less where others wait there.
_SHARE = 10


class Retention:
    """One small step at a time, so that jobs are never kept waiting by their predecessors."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.due = 0

    def rest(self) -> None:
        """Leave everything as it is until the next round."""
        self.due = self._pool.clock.monotonic() + _ROUND_EVERY_NS

    def run(self) -> None:
        """Take a step of each kind, when a round is due or the last one left some over."""
        clock = self._pool.clock
        began = clock.monotonic()
        if began < self.due:
            return
        more = self._forget_jobs()
        # A power cut may bring back what was forgotten: it is forgotten again.
        with self._pool.write(synced=False) as tx:
            keep = self._pool.settings.keep_events
            events = prune_events(tx, keep)
            prune_rest(tx)
        now = clock.monotonic()
        if events > keep:
            # They come faster than they go: twice as many as wanted is the most there may be.
            self.due = now
        elif events or more:
            self.due = now + (now - began) * (_SHARE - 1)
        else:
            self.rest()

    def _forget_jobs(self) -> bool:
        settings = self._pool.settings
        days = {
            JobState.DONE: settings.keep_done_days,
            JobState.FAILED: settings.keep_failed_days,
            JobState.CANCELLED: settings.keep_failed_days,
        }
        more = False
        for state, kept in days.items():
            before = self._pool.clock.now() - int(kept * _DAY_US)
            if has_old_jobs(self._pool.database.connection, state, before):
                with self._pool.write(synced=False) as tx:
                    more |= prune_jobs(tx, state, before)
        return more

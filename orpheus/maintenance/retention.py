"""Retention: what is older than the settings say is forgotten, in small transactions."""

from __future__ import annotations

from orpheus.clock import SECOND_NS, SECOND_US
from orpheus.domain.job import JobState
from orpheus.maintenance.pool import Pool
from orpheus.store.prune import prune_events, prune_jobs, prune_rest

_ROUND_EVERY_NS = 30 * SECOND_NS
_DAY_US = 86_400 * SECOND_US


class Retention:
    """One small step at a time, so that jobs are never kept waiting by their predecessors."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._due = 0

    def run(self) -> None:
        """Take a step of each kind, when a round is due or the last one left some over."""
        now = self._pool.clock.monotonic()
        if now < self._due:
            return
        settings = self._pool.settings
        days = {
            JobState.DONE: settings.keep_done_days,
            JobState.FAILED: settings.keep_failed_days,
            JobState.CANCELLED: settings.keep_failed_days,
        }
        more = False
        for state, kept in days.items():
            with self._pool.write() as tx:
                more |= prune_jobs(tx, state, tx.now - int(kept * _DAY_US))
        with self._pool.write() as tx:
            more |= prune_events(tx, settings.keep_events)
            prune_rest(tx)
        self._due = 0 if more else now + _ROUND_EVERY_NS

"""Children that live but do nothing: stopped workers, and a maintenance process gone silent."""

from __future__ import annotations

from collections.abc import Iterable

from orpheus.clock import SECOND_NS
from orpheus.ipc.scoreboard import STUCK, Scoreboard
from orpheus.log import get_logger
from orpheus.pool.children import Child, Role

_SILENCE = 4 * SECOND_NS
# It may have a whole previous run to settle before its first beat.
_FIRST_SILENCE = 15 * SECOND_NS
# A master that did not run for so long cannot blame others for the time it missed.
_GAP = SECOND_NS

_log = get_logger("pool.liveness")


class Liveness:
    """Kills a worker stopped for a whole lease, and maintenance that no longer beats."""

    def __init__(self, board: Scoreboard, lease: int) -> None:
        self._board = board
        self._lease = lease
        self._looked = 0
        self._awake_since = 0

    def look(self, now: int, children: Iterable[Child]) -> None:
        """Judge all children; to be called on each turn of the master's loop."""
        if now - self._looked > _GAP:
            self._awake_since = now
        self._looked = now
        for child in children:
            if child.role is Role.WORKER:
                self._look_at_worker(child, now)
            elif child.role is Role.MAINTENANCE:
                self._look_at_maintenance(child, now)

    def _look_at_worker(self, child: Child, now: int) -> None:
        if child.stopped_since is not None and now - child.stopped_since >= self._lease:
            _log.error("killing a worker that was stopped for a whole lease", worker_pid=child.pid)
            child.kill(STUCK)

    def _look_at_maintenance(self, child: Child, now: int) -> None:
        beat = self._board.maintenance_beat
        # A beat of its predecessor, which served before this child was forked, is not its own.
        if beat > child.since:
            child.ready = True
        allowed = _SILENCE if child.ready else _FIRST_SILENCE
        if now - max(beat, child.since, self._awake_since) >= allowed:
            _log.error("killing maintenance, which is silent", maintenance=child.pid)
            child.kill(STUCK)

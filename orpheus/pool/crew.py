"""The crew: the places of a pool and the children in them.

It starts, buries and ends them; what a death or a signal means for the pool, the master decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

from orpheus.ipc.doorbell import maintenance_bell, ring
from orpheus.ipc.process import exit_text
from orpheus.ipc.scoreboard import DEAD, FREE, Scoreboard, Slot
from orpheus.log import get_logger
from orpheus.pool.children import Child, Role
from orpheus.pool.restarts import Restarts
from orpheus.pool.spawn import Spawner
from orpheus.pool.spec import PoolSpec

_log = get_logger("pool.crew")


@dataclass(slots=True, eq=False)
class Place:
    """Something the pool needs one of: prepare, maintenance, or one of the N workers."""

    role: Role
    child: Child | None = None
    restarts: Restarts = field(default_factory=Restarts)


@dataclass(frozen=True, slots=True)
class Death:
    """A child that is gone; `code` is negative for a signal."""

    place: Place
    child: Child
    code: int


class Crew:
    """All children of one run."""

    def __init__(self, spec: PoolSpec, board: Scoreboard, spawner: Spawner) -> None:
        self._spec = spec
        self._board = board
        self._spawner = spawner
        self._slots_short = False
        self.prepare = Place(Role.PREPARE)
        self.maintenance = Place(Role.MAINTENANCE)
        self.workers = [Place(Role.WORKER) for _ in range(spec.processes)]
        # By pid; exactly those that have been forked and not been reaped.
        self.children: dict[int, Child] = {}

    def living(self, places: Iterable[Place]) -> list[Child]:
        """The children in some places."""
        return [place.child for place in places if place.child is not None]

    def start(self, place: Place) -> None:
        """Put a new child in an empty place, if a worker's slot is free."""
        now = self._spec.clock.monotonic()
        siblings = list(self.children.values())
        try:
            if place.role is Role.PREPARE:
                child = self._spawner.prepare()
            elif place.role is Role.MAINTENANCE:
                child = self._spawner.maintenance(siblings)
            else:
                slot = self._free_slot()
                if slot is None:
                    return
                child = self._spawner.worker(slot, siblings)
        except Exception:
            # No memory, too many processes: to be tried again later, like after a death.
            place.restarts.died(now, 0, ready=True)
            raise
        self.children[child.pid] = place.child = child

    def refill(self, places: Iterable[Place]) -> None:
        """Start a child in each place that is empty and due."""
        now = self._spec.clock.monotonic()
        for place in places:
            if place.child is None and now >= place.restarts.not_before:
                self.start(place)

    def next_start(self) -> int | None:
        """When the next empty place is due; None if none is, or if time alone will not fill it."""
        due = [
            place.restarts.not_before
            for place in (self.maintenance, *self.workers)
            if place.child is None
        ]
        return min(due) if due and not self._slots_short else None

    def bury(self) -> list[Death]:
        """Reap whoever died, and hand dead workers' slots to maintenance."""
        now = self._spec.clock.monotonic()
        deaths = [
            self._reap(child, now) for child in list(self.children.values()) if child.look(now)
        ]
        self._reap_strangers()
        return deaths

    def ready_pipes(self) -> dict[int, Child]:
        """The workers that have not said they are ready, by the pipe they will say it through."""
        return {child.ready_fd: child for child in self.children.values() if child.ready_fd >= 0}

    def send(self, places: Iterable[Place], number: int) -> None:
        """Send a signal to whoever is in some places."""
        for child in self.living(places):
            child.send(number)

    def kill_all(self, why: int) -> None:
        """SIGKILL for everyone; `bury` will find them."""
        for child in self.children.values():
            child.kill(why)

    def leave_nobody(self, why: int) -> None:
        """Kill and reap everyone before returning: the master is about to exit."""
        self.kill_all(why)
        now = self._spec.clock.monotonic()
        for child in list(self.children.values()):
            self._reap(child, now)

    def _reap(self, child: Child, now: int) -> Death:
        status = child.reap()
        del self.children[child.pid]
        if child.slot is not None:
            child.slot.exit_status = status
            child.slot.state = DEAD
            ring(maintenance_bell(self._spec.run_dir, self._spec.pool))
        place = next(p for p in (self.prepare, self.maintenance, *self.workers) if p.child is child)
        place.child = None
        _record(place.restarts, child, status, now)
        ended = exit_text(status)
        log = _log.warning if ended else _log.info
        log("child ended", role=child.role, child=child.pid, exit=ended or "exit 0")
        return Death(place, child, os.waitstatus_to_exitcode(status))

    def _reap_strangers(self) -> None:
        """As process 1 of a container, the master inherits the orphans of others."""
        if not hasattr(os, "waitid"):
            return
        try:
            report = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if report is not None and report.si_pid not in self.children:
            os.waitpid(report.si_pid, 0)

    def _free_slot(self) -> Slot | None:
        free = next((slot for slot in self._board.slots if slot.state == FREE), None)
        if free is None and not self._slots_short:
            _log.error("no free slot: maintenance does not settle the dead ones")
        self._slots_short = free is None
        return free


def _record(restarts: Restarts, child: Child, status: int, now: int) -> None:
    slot = child.slot
    if slot is not None and status == 0 and slot.finished and not slot.armed:
        # It left by itself between two jobs, for its limits or for what a job left behind.
        restarts.retired(now)
    elif child.late_since is not None:
        # A start that hangs says nothing about the others: the pool goes on with them.
        restarts.died(now, 0, ready=True)
    else:
        restarts.died(now, now - child.since, ready=child.ready)

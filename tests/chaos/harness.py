"""Strikes processes of a running Orpheus, and keeps the record the checker needs."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from random import Random

from tests.chaos.blows import RESUMED
from tests.chaos.processes import (
    PoolProcesses,
    Processes,
    children,
    pool_processes,
)
from tests.chaos.programs import ByHarness, Programs
from tests.support.processes import alive, stopped
from tests.support.system import System

_RESUMED_AFTER = 2.0
_NUMBERS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "end": signal.SIGTERM}
# The programs a blow must find ripe; the writer's death is the API's.
_PROGRAMS = {
    "api": ("api",),
    "writer": ("api",),
    "master": ("main",),
    "everything": ("api", "main"),
    "orpheus-api": ("api",),
    "orpheus-worker": ("main",),
}


@dataclass
class Blow:
    """One blow: what, to which processes and their children, when (wall seconds)."""

    what: str
    pids: list[int]
    at: float
    pool: str = "main"
    # Its own processes and those whose death follows from theirs.
    victims: list[int] = field(default_factory=list)


class Chaos:
    """One system under attack."""

    def __init__(self, system: System, seed: int, programs: Programs | None = None) -> None:
        self.system = system
        self.programs = programs or ByHarness(system)
        self.rng = Random(seed)
        self.blows: list[Blow] = []
        self._stopped: list[int] = []
        self._resume: list[tuple[float, int]] = []

    def look(self) -> Processes:
        """Who there is right now."""
        found = Processes()
        if (api := self.programs.pid("api")) is not None:
            found.api = api
            found.writer = next(iter(children(api)), None)
        for name in ("main", "second"):
            if (master := self.programs.pid(name)) is not None:
                found.pools[name] = pool_processes(self.system.data_dir, name, master)
        return found

    def strike(self, what: str) -> bool:
        """One blow by its name, such as "kill worker"; False if its target is not there yet."""
        act, target = what.split(" ", 1)
        if not self._may_strike(act, target):
            return False
        if act == "supervisorctl":
            self.blows.append(Blow(what, [], time.time()))
            self.programs.restart(target)
            return True
        if act == "start":
            return self._start_pool(what, target)
        return self._signal(what, _NUMBERS[act], target)

    def tend(self) -> None:
        """Start again what has ended, and let go on what nobody else would."""
        self.programs.tend()
        now = time.monotonic()
        for due, pid in self._resume:
            if due <= now:
                self.resume(pid)
        self._resume = [(due, pid) for due, pid in self._resume if due > now]

    def resume(self, pid: int) -> None:
        """Let a stopped process go on, if it still stands still."""
        if stopped(pid):
            os.kill(pid, signal.SIGCONT)

    def stopped_that_live(self) -> list[int]:
        """Processes that were stopped and have not been replaced."""
        return [pid for pid in self._stopped if stopped(pid)]

    def deadly(self) -> set[int]:
        """Every process whose end is our doing."""
        return {pid for blow in self.blows for pid in (*blow.pids, *blow.victims)}

    def _may_strike(self, act: str, target: str) -> bool:
        if act == "supervisorctl" and self.stopped_that_live():
            return False  # it would wait for as long as a program is given to stop
        return all(map(self.programs.ripe, _PROGRAMS.get(target, ())))

    def _start_pool(self, what: str, name: str) -> bool:
        if self.programs.pid(name) is not None:
            return False
        self.blows.append(Blow(what, [], time.time(), name))
        self.system.start_pool(name)
        return True

    def _signal(self, what: str, number: signal.Signals, target: str) -> bool:
        found = self.look()
        pool, pids = self._targets(found, target)
        if number == signal.SIGSTOP:
            pids = [pid for pid in pids if not stopped(pid)]
        if not pids:
            return False
        blow = Blow(what, pids, time.time(), pool)
        self.blows.append(blow)
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if number == signal.SIGSTOP:
            self._stopped += pids
            if what in RESUMED:
                self._resume += [(time.monotonic() + _RESUMED_AFTER, pid) for pid in pids]
        elif number == signal.SIGKILL:
            blow.victims = self._followers(found, pids)
        return True

    def _targets(self, found: Processes, target: str) -> tuple[str, list[int]]:
        """The pool that is struck and its processes."""
        if target == "worker":
            workers = [(name, pid) for name, pool in found.pools.items() for pid in pool.workers]
            name, pid = self.rng.choice(workers) if workers else ("main", None)
        elif target == "everything":
            everyone = [found.api, found.writer, *found.main.everyone()]
            return "main", [pid for pid in everyone if pid]
        elif target == "second":
            name, pid = "second", found.pools.get("second", PoolProcesses()).master
        else:
            name, pid = "main", getattr(found, target)
        return name, [pid] if pid and alive(pid) else []

    def _followers(self, found: Processes, pids: list[int]) -> list[int]:
        """A master's death is its children's, of those too it forked since we looked."""
        followers: list[int] = []
        for name, pool in found.pools.items():
            if pool.master in pids:
                now = pool_processes(self.system.data_dir, name, pool.master or 0)
                followers += [*pool.everyone(), *now.everyone()]
        return followers

"""How soon things work again after a blow, measured from the blow.

A figure counts against its limit only if nothing else stood in the way meanwhile: otherwise it
says how soon the last of several blows was overcome. Those figures are shown apart.
"""

from __future__ import annotations

import http.client
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from tests.chaos.evidence import Evidence
from tests.chaos.harness import Blow, Chaos
from tests.chaos.processes import Processes
from tests.support.processes import alive

WORKER = "worker killed, its job free again"
MASTER = "master killed, a job of the new pool done"
API = "API killed, /livez answers 200"
HINDERED = " (other blows meanwhile)"

# Of the blows below each may delay the recovery named beside it.
_IN_THE_WAY = {
    MASTER: ("master", "maintenance", "everything", "orpheus-worker"),
    API: ("api", "writer", "everything", "orpheus-api"),
}
_STARTED_BY = {"kill master": MASTER, "kill api": API}


@dataclass
class Times:
    """Seconds by what was measured."""

    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, what: str, seconds: float) -> None:
        self.seconds.setdefault(what, []).append(seconds)

    def merge(self, other: Times) -> None:
        for what, seconds in other.seconds.items():
            self.seconds.setdefault(what, []).extend(seconds)


class Condition:
    """Which pools were in order at any moment: master and maintenance at work, nobody stopped."""

    def __init__(self) -> None:
        self._changes: dict[str, list[tuple[float, bool]]] = {}
        self._since: dict[int, int] = {}

    def note(self, found: Processes, nobody_stopped: bool) -> None:
        """To be called all the time."""
        now = time.time()
        for name in ("main", "second"):
            order = nobody_stopped and self._in_order(found, name)
            changes = self._changes.setdefault(name, [])
            if not changes or changes[-1][1] != order:
                changes.append((now, order))

    def held(self, pool: str, begin: float, end: float) -> bool:
        """Whether the pool was in order from `begin` to `end`."""
        before = [order for at, order in self._changes.get(pool, []) if at <= begin]
        within = [order for at, order in self._changes.get(pool, []) if begin < at <= end]
        return bool(before) and before[-1] and all(within)

    def _in_order(self, found: Processes, name: str) -> bool:
        pool = found.pools.get(name)
        if pool is None or not pool.maintenance or not alive(pool.maintenance):
            return False
        # The beat on the board may still be its predecessor's.
        return pool.beat > self._since.setdefault(pool.maintenance, time.monotonic_ns())


@dataclass
class _Pending:
    what: str
    blow: Blow
    begun: float
    hindered: bool


class Stopwatch:
    """Polls for what masters and the API must be able to do again."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._pending: dict[str, _Pending] = {}
        self.times = Times()

    def struck(self) -> None:
        """After each blow: what runs is hindered or begun anew."""
        blow = self._chaos.blows[-1]
        act, target = blow.what.split(" ", 1)
        still = bool(self._chaos.stopped_that_live())
        for what, pending in self._pending.items():
            pending.hindered |= act == "stop" or still or target in _IN_THE_WAY[what]
        if what := _STARTED_BY.get(blow.what, ""):
            hindered = still or what in self._pending or self._chaos.programs.busy()
            self._pending[what] = _Pending(what, blow, time.monotonic(), hindered)

    def tick(self) -> None:
        for pending in list(self._pending.values()):
            if _WORKS[pending.what](self._chaos, pending.blow):
                label = pending.what + HINDERED * pending.hindered
                self.times.add(label, time.monotonic() - pending.begun)
                del self._pending[pending.what]

    def running(self) -> bool:
        return bool(self._pending)


def worker_times(evidence: Evidence, blows: list[Blow], condition: Condition) -> Times:
    """From each kill of one worker to its running job leaving `in_progress` (its event)."""
    left = {
        (event["job_id"], event["attempt"]): event["at"] / 1e6
        for event in evidence.events
        if event["reason"] == "crashed"
    }
    times = Times()
    for blow in blows:
        if blow.what != "kill worker":
            continue
        for one in evidence.attempts:
            at = left.get((one["job_id"], one["number"]))
            if one["pid"] == blow.pids[0] and one["outcome"] == "crashed" and at:
                hindered = not condition.held(blow.pool, blow.at, at)
                times.add(WORKER + HINDERED * hindered, at - blow.at)
    return times


def _a_job_is_done(chaos: Chaos, blow: Blow) -> bool:
    """By a worker that the pool has started since."""
    uri = f"{(chaos.system.data_dir / 'orpheus.db').as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        found = connection.execute(
            "SELECT 1 FROM attempts JOIN workers ON workers.id = worker_id "
            "WHERE pool = 'main' AND workers.started_at > ? AND outcome = 'done' LIMIT 1",
            (int(blow.at * 1e6),),
        )
        return found.fetchone() is not None


def _livez(chaos: Chaos, blow: Blow) -> bool:
    if alive(blow.pids[0]) or chaos.stopped_that_live():
        return False  # one that stands still would only hold us up
    connection = http.client.HTTPConnection("127.0.0.1", chaos.system.port, timeout=0.3)
    try:
        connection.request("GET", "/livez")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


_WORKS: dict[str, Callable[[Chaos, Blow], bool]] = {MASTER: _a_job_is_done, API: _livez}

"""One wave: a system of its own, clients and readers, blows by a schedule, then the verdict."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random

from orpheus.client.http import OrpheusHTTPError, ServerUnreachable
from tests.chaos.blows import Planned
from tests.chaos.checker import odd_answers, odd_ends, problems, recovered
from tests.chaos.clients import Submitter
from tests.chaos.evidence import Evidence, Feed
from tests.chaos.feed_reader import Reader
from tests.chaos.harness import Chaos
from tests.chaos.programs import Programs
from tests.chaos.supervised import BySupervisord, UnderSupervisord
from tests.chaos.systems import system_for_chaos
from tests.chaos.times import Condition, Stopwatch, Times, worker_times
from tests.support.system import System

_CLIENTS = 4
_READERS = 2
_TURN = 0.02
_ENOUGH = 60.0
_PER_BLOW = 3.0


class Inconclusive(Exception):
    """The wave did not come to rest in time: it proves nothing."""


@dataclass
class Verdict:
    """What one wave showed."""

    problems: list[str] = field(default_factory=list)
    inconclusive: str = ""
    blows: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    times: Times = field(default_factory=Times)


def run_wave(folder: Path, plan: list[Planned], seed: int, supervised: bool = False) -> Verdict:
    """Attack a system in `folder`; it is gone afterwards, its data stay."""
    system = UnderSupervisord(folder) if supervised else system_for_chaos(folder)
    programs = BySupervisord(system) if isinstance(system, UnderSupervisord) else None
    with system:
        wave = _Wave(system, programs, seed)
        try:
            wave.attack(plan)
        except Inconclusive as reason:
            wave.let_go()
            return wave.unfinished(str(reason))
        finally:
            wave.dismiss()
    return wave.verdict()


class _Wave:
    """The parts of a wave: the system, who attacks, who uses it, and who watches."""

    def __init__(self, system: System, programs: Programs | None, seed: int) -> None:
        self._system = system
        self._trace = system.folder / "trace.txt"
        self._evidence = Evidence()
        self._chaos = Chaos(system, seed, programs)
        self._condition = Condition()
        self._stopwatch = Stopwatch(self._chaos)
        self._clients = [
            Submitter(system.url, n, self._trace, seed, hasty=n == 0) for n in range(_CLIENTS)
        ]
        self._readers = [
            Reader(system.port, Random(seed + n), stays=(0.1, 0.5, 2.0)) for n in range(_READERS)
        ]

    def attack(self, plan: list[Planned]) -> None:
        """Strike as planned and come to rest; raises Inconclusive."""
        self._evidence.before = set(self._query("SELECT id FROM jobs"))
        for thread in (*self._clients, *self._readers):
            thread.start()
        deadline = time.monotonic() + _ENOUGH + _PER_BLOW * len(plan)
        for blow in plan:
            self._until(partial(self._strike, blow.what), deadline, blow.what)
            self._until(partial(_past, time.monotonic() + blow.pause), deadline, "a pause")
        self._until(lambda: not self._chaos.stopped_that_live(), deadline, "what stands still")
        self._until(lambda: not self._stopwatch.running(), deadline, "master and API")
        for client in self._clients:
            client.stop()
        self._until(lambda: not any(one.is_alive() for one in self._clients), deadline, "clients")
        self._until(lambda: not self._chaos.programs.busy(), deadline, "supervisorctl")
        self._until(lambda: drained(self._system), deadline, "all jobs to end")
        self._finish_feeds()

    def unfinished(self, reason: str) -> Verdict:
        """What can be said without rest: answers and ends that nothing excuses."""
        evidence = self._gathered()
        found = [*odd_ends(evidence), *odd_answers(evidence)]
        return Verdict(found[:5], inconclusive=reason, blows=self.made())

    def verdict(self) -> Verdict:
        evidence = self._gathered()
        evidence.read(self._system.data_dir / "orpheus.db", self._trace)
        times = worker_times(evidence, self._chaos.blows, self._condition)
        times.merge(self._stopwatch.times)
        return Verdict(
            problems=problems(evidence), blows=self.made(), counts=_counts(evidence), times=times
        )

    def _gathered(self) -> Evidence:
        self._evidence.submissions = [one for client in self._clients for one in client.submissions]
        self._evidence.deadly = self._chaos.deadly()
        self._evidence.oddities = self._chaos.programs.oddities
        return self._evidence

    def made(self) -> Counter[str]:
        return Counter(blow.what for blow in self._chaos.blows)

    def let_go(self) -> None:
        """So that a system that did not come to rest can at least be ended."""
        for pid in self._chaos.stopped_that_live():
            self._chaos.resume(pid)

    def dismiss(self) -> None:
        """Nobody goes on when the system is gone."""
        for client in self._clients:
            client.stop()
        for reader in self._readers:
            reader.given_up = True

    def _until(self, done: Callable[[], bool], deadline: float, what: str) -> None:
        while not done():
            if time.monotonic() > deadline:
                raise Inconclusive(f"waited in vain for {what}")
            self._chaos.tend()
            self._condition.note(self._chaos.look(), not self._chaos.stopped_that_live())
            self._stopwatch.tick()
            time.sleep(_TURN)

    def _strike(self, what: str) -> bool:
        if not self._chaos.strike(what):
            return False
        self._stopwatch.struck()
        return True

    def _finish_feeds(self) -> None:
        last = self._query("SELECT max(seq) FROM events")[0]
        for reader in self._readers:
            finished = reader.finish(last, within=10)
            self._evidence.feeds.append(Feed(list(reader.events), last, reader.resets, finished))

    def _query(self, sql: str) -> list[int]:
        uri = f"{(self._system.data_dir / 'orpheus.db').as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            return [row[0] for row in connection.execute(sql)]


def drained(system: System) -> bool:
    """Whether the API answers and no job is left to do."""
    try:
        with system.client() as client:
            counts = client.stats()["jobs"]
    except (ServerUnreachable, OrpheusHTTPError):
        return False
    return not any(counts[state] for state in ("pending", "scheduled", "blocked", "in_progress"))


def _past(end: float) -> bool:
    return time.monotonic() >= end


def _counts(evidence: Evidence) -> Counter[str]:
    outcomes = Counter(f"attempts {one['outcome']}" for one in evidence.attempts)
    unknown = sum(len(one.numbers) for one in evidence.submissions if one.ids is None)
    return outcomes + Counter(
        {
            "jobs": len(evidence.jobs) - len(evidence.before),
            "events": len(evidence.events),
            "events seen by readers": sum(len(feed.events) for feed in evidence.feeds),
            "submissions": len(evidence.submissions),
            "jobs never acknowledged": unknown,
            "of them recovered": recovered(evidence),
        }
    )

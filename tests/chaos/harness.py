"""Kills processes of a running Orpheus, restarts the programs as supervisord would, and checks.

The checker trusts neither the records nor the handlers' trace alone: it holds one against the
other, and every crash against a kill it made itself.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from orpheus.ipc.scoreboard import ALIVE, DEAD, FREE, Scoreboard
from tests.support.system import System


@dataclass
class Processes:
    """Who is who right now; None or empty where it is not there."""

    api: int | None = None
    writer: int | None = None
    master: int | None = None
    maintenance: int | None = None
    workers: list[int] = field(default_factory=list)
    # Forked and not yet at work; they die with their master all the same.
    starting: list[int] = field(default_factory=list)

    def everyone(self) -> list[int]:
        pids = [self.api, self.writer, self.master, self.maintenance, *self.workers]
        return [pid for pid in pids if pid]


@dataclass
class Kill:
    """One blow: what, to which pids, when (wall seconds)."""

    what: str
    pids: list[int]
    at: float


class Chaos:
    """One system under attack."""

    def __init__(self, system: System, seed: int) -> None:
        self.system = system
        self.rng = Random(seed)
        self.kills: list[Kill] = []
        self._stopped: list[int] = []

    def look(self) -> Processes:
        """Read off the scoreboard and /proc which processes there are."""
        found = Processes()
        if self.system.api is not None and self.system.api.poll() is None:
            found.api = self.system.api.pid
            found.writer = next(iter(_children(found.api)), None)
        pool = self.system.pools.get("main")
        if pool is None or pool.poll() is not None:
            return found
        found.master = pool.pid
        for path in self.system.data_dir.glob(f"run/main-{pool.pid}-*.board"):
            with _board(path) as board:
                found.maintenance = board.maintenance_pid or None
                found.workers = [slot.pid for slot in board.slots if slot.state == ALIVE]
                found.starting = [
                    slot.pid
                    for slot in board.slots
                    if slot.pid and slot.state not in (ALIVE, DEAD, FREE)
                ]
        return found

    def strike(self, what: str) -> bool:
        """Kill or stop by name, such as "kill worker" or "stop writer"; False if it is not there.

        A master's death is its workers' too, also of one that only starts and may have a job by
        the time it hears of it; so they are on record with it.
        """
        act, target = what.split(" ", 1)
        found = self.look()
        pids: list[int] = []
        if target == "worker" and found.workers:
            pids = [self.rng.choice(found.workers)]
        elif target == "everything":
            pids = found.everyone()
        elif target != "worker":
            pids = [pid] if (pid := getattr(found, target)) else []
        if not pids:
            return False
        victims = list(pids)
        if target in ("master", "everything"):
            victims += [*found.workers, *found.starting]
        self.kills.append(Kill(what, victims, time.time()))
        number = signal.SIGKILL if act == "kill" else signal.SIGSTOP
        for pid in pids:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
        if act == "stop":
            self._stopped += pids
        return True

    def tend(self) -> None:
        """Start again what has ended, as supervisord would."""
        api = self.system.api
        if api is not None and api.poll() is not None:
            self.system.api = self.system.spawn("api")
        pool = self.system.pools.get("main")
        if pool is not None and pool.poll() is not None:
            self.system.start_pool()

    def stopped_that_live(self) -> list[int]:
        """Processes that were stopped and have not been replaced."""
        return [pid for pid in self._stopped if _state(pid) == "T"]


def gone(pid: int) -> bool:
    """Whether a process has ended; whoever must reap it may not have done so yet."""
    return _state(pid) in (None, "Z", "X")


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    except OSError:
        return []
    return [int(child) for child in text.split()]


def _state(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return None


@contextmanager
def _board(path: Path) -> Iterator[Scoreboard]:
    board = Scoreboard.open(path)
    try:
        yield board
    finally:
        board.close()


# --- the checker ----------------------------------------------------------------------------------


class History:
    """The database and the trace after everything has come to rest."""

    def __init__(self, database: Path, trace: Path) -> None:
        connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        try:
            self.jobs = {row["id"]: row for row in connection.execute("SELECT * FROM jobs")}
            self.attempts = connection.execute("SELECT * FROM attempts ORDER BY id").fetchall()
            self.events = connection.execute("SELECT * FROM events ORDER BY seq").fetchall()
            counters = connection.execute("SELECT queue, type, state, n FROM counters WHERE n > 0")
            self.counters = {tuple(row)[:3]: int(row["n"]) for row in counters}
            self.integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
        finally:
            connection.close()
        self.trace: dict[int, list[tuple[int, int, int, str]]] = defaultdict(list)
        for line in trace.read_text(encoding="ascii").splitlines() if trace.exists() else ():
            at, pid, job_id, attempt, what = line.split()
            self.trace[int(job_id)].append((int(at), int(pid), int(attempt), what))

    def problems(self, acknowledged: dict[int, Any], kills: list[Kill]) -> list[str]:
        """Everything that breaks a promise; `acknowledged` maps job ids to right results (JSON)."""
        return [
            *self._integrity(),
            *self._lost_or_wrong(acknowledged),
            *self._overlaps(),
            *self._crashes_without_kill(kills),
            *self._numbers(),
            *self._endings(),
            *self._counters(),
        ]

    def _integrity(self) -> list[str]:
        return [] if self.integrity == "ok" else [f"integrity: {self.integrity}"]

    def _lost_or_wrong(self, acknowledged: dict[int, Any]) -> list[str]:
        found = []
        for job_id, result in acknowledged.items():
            job = self.jobs.get(job_id)
            if job is None:
                found.append(f"job {job_id} is lost")
            elif job["state"] != "done":
                found.append(f"job {job_id} ended {job['state']}: {job['error']}")
            elif job["result"] != result:
                found.append(f"job {job_id} has {job['result']}, not {result}")
        return found

    def _overlaps(self) -> list[str]:
        """No sign of life of an attempt after a later one of the job has begun."""
        found = []
        for job_id, lines in self.trace.items():
            runs: dict[tuple[int, int], list[int]] = defaultdict(list)
            for at, pid, attempt, _ in lines:
                runs[attempt, pid].append(at)
            spans = sorted((min(times), max(times), run) for run, times in runs.items())
            for earlier, later in pairwise(spans):
                if earlier[1] >= later[0]:
                    found.append(f"job {job_id}: {earlier[2]} and {later[2]} overlap")
        return found

    def _crashes_without_kill(self, kills: list[Kill]) -> list[str]:
        killed = {pid for kill in kills for pid in kill.pids}
        return [
            f"job {attempt['job_id']} crashed in {attempt['pid']}, which nobody killed"
            for attempt in self.attempts
            if attempt["outcome"] == "crashed" and attempt["pid"] not in killed
        ]

    def _numbers(self) -> list[str]:
        numbers: dict[int, list[int]] = defaultdict(list)
        for attempt in self.attempts:
            numbers[attempt["job_id"]].append(attempt["number"])
        return [
            f"job {job_id} has attempts {found}"
            for job_id, found in numbers.items()
            if sorted(found) != list(range(1, len(found) + 1))
        ]

    def _endings(self) -> list[str]:
        endings: dict[int, int] = defaultdict(int)
        for event in self.events:
            if event["event"] in ("job.done", "job.failed", "job.cancelled"):
                endings[event["job_id"]] += 1
        return [f"job {job_id} ended {n} times" for job_id, n in endings.items() if n != 1]

    def _counters(self) -> list[str]:
        recount: dict[tuple[str, ...], int] = defaultdict(int)
        for job in self.jobs.values():
            recount[job["queue"], job["type"], job["state"]] += 1
        return [] if recount == self.counters else [f"counters {self.counters} != {dict(recount)}"]

    def recoveries(self, kills: list[Kill]) -> list[float]:
        """Seconds from each kill of one worker to its running job leaving in_progress."""
        left = {
            (event["job_id"], event["attempt"]): event["at"] / 1e6
            for event in self.events
            if event["reason"] == "crashed"
        }
        found = []
        for kill in kills:
            if kill.what != "kill worker":
                continue
            for attempt in self.attempts:
                key = (attempt["job_id"], attempt["number"])
                if (
                    attempt["pid"] == kill.pids[0]
                    and attempt["outcome"] == "crashed"
                    and key in left
                ):
                    found.append(left[key] - kill.at)
        return sorted(found)

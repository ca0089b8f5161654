"""Where the time of one job goes: SQL by statement, Python inside the gate, the run, the sync.

`python -m scripts.bench.job_profile` drains one queue in its own process through the real worker
lane and prints a table of microseconds per job. Wall time: run it on a machine that does nothing
else.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from orpheus import log
from orpheus.clock import SECOND_NS, SystemClock
from orpheus.domain.attempt import Claim
from orpheus.domain.job import NewJob
from orpheus.domain.outcome import FinishedAttempt
from orpheus.handlers.loader import load_registry
from orpheus.ipc.doorbell import Doorbell, worker_bell
from orpheus.ipc.scoreboard import ALIVE, Scoreboard, board_path
from orpheus.settings import Settings, load_settings, prepare_data_dir
from orpheus.store import database as store_database
from orpheus.store import workers
from orpheus.store.claim import WorkerIdentity
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.submit import submit
from orpheus.worker.execute import ContextSupply, execute
from orpheus.worker.soft_stop import SoftStop
from orpheus.worker.sync_lane import SyncLane

JOBS = 50_000
BATCH = 256

_spent: defaultdict[str, float] = defaultdict(float)


class _TimedConnection(sqlite3.Connection):
    """Adds up the seconds of each kind of statement."""

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        started = time.perf_counter()
        cursor = super().execute(sql, *args)
        _spent[_kind(sql)] += time.perf_counter() - started
        return cursor

    def executemany(self, sql: str, rows: Iterable[Any]) -> sqlite3.Cursor:
        started = time.perf_counter()
        cursor = super().executemany(sql, rows)
        _spent[_kind(sql)] += time.perf_counter() - started
        return cursor


class _Silence:
    """Takes what jobs say."""

    def emit(
        self,
        kind: str,
        claim: Claim,
        at: int,
        level: str,
        message: str,
        fields: Mapping[str, object],
    ) -> None:
        pass


def _kind(sql: str) -> str:
    words = sql.split()
    if words[0] == "COMMIT":
        return "commit and sync"
    if words[0] == "INSERT":
        return f"SQL: insert {words[2]}"
    if words[0] == "UPDATE":
        return f"SQL: update {words[1]}" + (" (done)" if "'done'" in sql else "")
    return "SQL: select" if words[0] == "SELECT" else "SQL: other"


def main() -> None:
    """Measure and print."""
    log.configure("profile", "text", "error")
    with tempfile.TemporaryDirectory(prefix="orpheus-profile-") as folder:
        settings = load_settings({"data_dir": folder}, environ={})
        prepare_data_dir(settings)
        clock = SystemClock()
        migrate(settings, clock)
        _preload(settings, clock)
        elapsed, ran, held = _drain(settings, clock)
    per_job = {kind: seconds / JOBS * 1e6 for kind, seconds in _spent.items()}
    in_sql = sum(per_job.values())
    inside = held / JOBS * 1e6
    rows = dict(sorted(per_job.items(), key=lambda item: -item[1]))
    rows["Python inside the gate"] = inside - in_sql
    rows["running: payload, handler, result, outbox"] = ran / JOBS * 1e6
    rows["the rest of the loop"] = elapsed / JOBS * 1e6 - inside - ran / JOBS * 1e6
    print(f"One worker, {JOBS} jobs, batches of {BATCH}, durability full, µs per job:\n")
    print("| part | µs |\n| --- | ---: |")
    for name, value in rows.items():
        if value >= 0.05:
            print(f"| {name} | {value:.1f} |")
    print(f"| **all** | **{elapsed / JOBS * 1e6:.1f}** |")


def _preload(settings: Settings, clock: SystemClock) -> None:
    database = Database(settings, clock)
    jobs = [NewJob("sum_range", "default", "sync", '{"n":100}')] * 1000
    for _ in range(JOBS // len(jobs)):
        with database.write() as tx:
            submit(tx, jobs, 2 * JOBS)
    database.close()


def _drain(settings: Settings, clock: SystemClock) -> tuple[float, float, float]:
    """Seconds of the whole drain, of running jobs, and of holding the gate."""
    connect = sqlite3.connect
    store_database.sqlite3.connect = (  # type: ignore[attr-defined]
        lambda *args, **options: connect(*args, factory=_TimedConnection, **options)
    )
    reading, writing = os.pipe()
    database = Database(settings, clock)
    pid = os.getpid()
    board = Scoreboard.create(
        board_path(settings.run_dir, "bench", pid, 1), 1, "bench", clock.boot_id, pid, 1
    )
    slot = board.slots[0]
    with database.write() as tx:
        id_, name = workers.register(tx, "bench", pid, 1, clock.boot_id, "sync")
    slot.worker_id, slot.state = id_, ALIVE
    registry = load_registry(settings)
    stop = SoftStop(slot)
    supply = ContextSupply(slot, stop, _Silence())
    job_type = registry.get("sum_range")
    assert job_type is not None

    def run(claim: Claim) -> FinishedAttempt:
        return execute(claim, job_type, supply, clock)

    bell = Doorbell(worker_bell(settings.run_dir, "bench", 0))
    lane = SyncLane(
        WorkerIdentity(id_, name, pid, clock.boot_id, ("sync", "async"), 15 * SECOND_NS),
        slot,
        database,
        bell,
        reading,
        stop,
        settings,
        clock,
        run,
        Random(1),
    )
    held = _time_the_gate(database)
    _spent.clear()
    ran = 0.0
    started = time.perf_counter()
    while (result := lane._turn(BATCH)) is not None and result.claims:
        began = time.perf_counter()
        lane._work(deque(result.claims))
        ran += time.perf_counter() - began
    elapsed = time.perf_counter() - started
    bell.close()
    board.close()
    database.close()
    os.close(reading)
    os.close(writing)
    return elapsed, ran, held[0]


def _time_the_gate(database: Database) -> list[float]:
    """A list whose one number grows by the seconds the gate is held."""
    turnstile = database.gate._turnstile
    acquire, release = turnstile.acquire, turnstile.release
    held, since = [0.0], [0.0]

    def timed_acquire(timeout: float | None = None) -> bool:
        entered = acquire(timeout)
        since[0] = time.perf_counter()
        return entered

    def timed_release() -> None:
        held[0] += time.perf_counter() - since[0]
        release()

    turnstile.acquire = timed_acquire  # type: ignore[method-assign]
    turnstile.release = timed_release  # type: ignore[method-assign]
    return held


if __name__ == "__main__":
    main()

"""What the size of the database does to the drain, the claim, the list and the dashboard.

One file grows: a thousand, a hundred thousand, a million finished jobs (five behind a flag). Then
files with a million pending, and a million scheduled ones. First paint is the time to the page's
complete HTML; its script and style are the same whatever the size.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from bench.figures import median, percentile
from bench.fill import fill_done, fill_waiting
from bench.marks import drain_rate
from bench.orpheus_system import Orpheus
from bench.preload import new_job, put, store
from bench.run_state import Run
from orpheus.settings import Settings
from orpheus.store import workers
from orpheus.store.claim import WorkerIdentity, claim
from orpheus.store.database import connect
from orpheus.store.release import release

_JOB = new_job("bench_sum", {"n": 100})
_ROOM = 64
_CLAIMS = 200
_PAGES = 15


def run(run: Run) -> None:
    """Fill, measure, fill more."""
    sizes = [1_000, 100_000, 1_000_000] + ([5_000_000] if run.five_million else [])
    with run.scratch("growth") as folder:
        filled = 0
        rounds = (run.rounds + 1) // 2
        for size in sizes:
            size = run.jobs(size)
            _fill(folder, "done", size - filled)
            filled = size
            for _ in range(rounds):
                _measure(run, folder, f"{size:,} finished")
        run.results.add("growth", f"{filled:,} finished", "file", "MB", _megabytes(folder))
    for state in ("pending", "scheduled"):
        size = run.jobs(1_000_000)
        with run.scratch(f"growth-{state}") as folder:
            _fill(folder, state, size)
            for _ in range(rounds):
                _measure(run, folder, f"{size:,} {state}")


def _fill(folder: Path, state: str, n: int) -> None:
    settings = Orpheus(folder).settings
    with store(settings):
        pass
    connection = connect(settings.database_path, "normal")
    connection.execute("PRAGMA cache_size = -200000")
    try:
        if state == "done":
            fill_done(connection, n)
        else:
            fill_waiting(connection, state, n)
    finally:
        connection.close()
    # Else the kernel writes it back for a minute, beside what is measured.
    os.sync()


def _measure(run: Run, folder: Path, subject: str) -> None:
    system = Orpheus(folder)
    jobs = run.jobs(10_000)
    for name, value in _claims(system.settings, run.jobs(_CLAIMS)).items():
        run.results.add("growth", subject, name, "ms", value)
    with system.api():
        for name, path in (
            ("GET /jobs", "/jobs"),
            ("GET /jobs?state=failed", "/jobs?state=failed"),
            ("dashboard /", "/"),
            ("dashboard /ui/jobs", "/ui/jobs"),
        ):
            run.results.add("growth", subject, name, "ms", _fetch(system, path))
    if "pending" not in subject:
        with store(system.settings) as database:
            put(database, [_JOB] * jobs)
    with system.pool(ready=False):
        rate = drain_rate(system.marks, jobs, 120)
    run.results.add("growth", subject, "drain", "jobs/s", rate)


def _claims(settings: Settings, times: int) -> dict[str, float]:
    """Claims of 64, each released again, without the sync: the time of the SQL."""
    normal = settings.model_copy(update={"durability": "normal"})
    took = []
    with store(normal) as database:
        if not _waiting(normal):
            put(database, [_JOB] * _ROOM)
        with database.write() as tx:
            id_, name = workers.register(tx, "growth", 1, 0, "boot", "sync")
        worker = WorkerIdentity(id_, name, 1, "boot", ("sync", "async"), 10**12)
        for _ in range(times):
            begun = time.perf_counter()
            with database.write() as tx:
                claims, _ = claim(tx, worker, _ROOM)
            took.append((time.perf_counter() - begun) * 1000)
            with database.write() as tx:
                release(tx, worker.id, [one.attempt_id for one in claims])
        with database.write() as tx:
            tx.connection.execute("UPDATE workers SET state = 'stopped', ended_at = 1")
    return {"claim p50": percentile(took, 50), "claim p99": percentile(took, 99)}


def _waiting(settings: Settings) -> bool:
    with store(settings) as database:
        sql = "SELECT coalesce(sum(n), 0) FROM counters WHERE state = 'pending'"
        return int(database.connection.execute(sql).fetchone()[0]) >= _ROOM


def _fetch(system: Orpheus, path: str) -> float:
    system.get(path)
    took = []
    for _ in range(_PAGES):
        begun = time.perf_counter()
        system.get(path)
        took.append((time.perf_counter() - begun) * 1000)
    return median(took)


def _megabytes(folder: Path) -> float:
    return Orpheus(folder).file_bytes() / 1e6

"""The limit: the store's statements in a bare loop, beside the real drain, in the same rounds."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from bench import replay
from bench.orpheus_system import Orpheus
from bench.preload import new_job, preload, put, store
from bench.processes import environment, python, stop, wait_for
from bench.run_state import Run
from orpheus.clock import SystemClock
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.job import JobState
from orpheus.domain.outcome import FinishedAttempt
from orpheus.store import workers
from orpheus.store.claim import WorkerIdentity
from orpheus.store.database import Database, connect
from orpheus.store.settle import Batch
from orpheus.store.turn import turn

_BATCHES = (64, 256)
_JOB = new_job("bench_sum", {"n": 100})
_LEASE = 15_000_000_000
_DRAINED = 40_000


def run(run: Run) -> None:
    """All of it, interleaved."""
    recordings: dict[tuple[int, int], Path] = {}
    with run.scratch("limit") as folder:
        for batch in _BATCHES:
            for processes in (1, 2):
                kept = folder / f"recording-{batch}-{processes}"
                kept.mkdir()
                _record(kept, batch, processes, run.jobs(20_000))
                recordings[batch, processes] = kept
        for _ in range(run.rounds):
            for (batch, processes), kept in recordings.items():
                _try(run, f"{_named(processes)}, batch {batch}", _replayed(run, kept, processes))
            for processes in (1, 2):
                with run.scratch("limit-drain") as fresh:
                    rate = drained(fresh, processes, "full", run.jobs(_DRAINED))
                    run.results.add(
                        "limit", f"orpheus worker × {processes}", "drain", "jobs/s", rate
                    )
            inserted(run)


def _named(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"


def _try(run: Run, subject: str, measure: Callable[[], dict[str, float]]) -> None:
    try:
        for name, value in measure().items():
            run.results.add("limit", f"bare loop, {subject}", name, "jobs/s", value)
    except (RuntimeError, sqlite3.Error) as error:
        run.results.skip("limit", f"bare loop, {subject}", str(error))


# --- the drain ------------------------------------------------------------------------------------


def drained(folder: Path, workers_: int, durability: str, jobs: int) -> float:
    """Jobs a second of a real pool on a preloaded queue."""
    from bench.marks import drain_rate

    system = Orpheus(folder, workers_, durability)
    preload(system.settings, _JOB, jobs)
    with system.pool(ready=False):
        rate = drain_rate(system.marks, jobs, 120)
        wait_for(lambda: system.count("done") == jobs, 20, "the settlement of the last jobs")
    return rate


def _record(folder: Path, batch: int, processes: int, jobs: int) -> None:
    """Run the verbs of a drain; keep the database as it was before, and what they did."""
    system = Orpheus(folder / "recorded")
    settings = system.settings
    rng = random.Random(1)
    jobs = max(jobs, batch * processes * 6)
    with replay.recorded() as recorder, store(settings) as database:
        put(database, [_JOB] * jobs)
        with database.write() as tx:
            registered = [
                workers.register(tx, "main", 1, 0, "boot", "sync") for _ in range(processes)
            ]
        identities = [
            WorkerIdentity(id_, name, 1, "boot", ("sync", "async"), _LEASE)
            for id_, name in registered
        ]
        claims: list[list[Claim]] = [[] for _ in identities]
        # The first turns make the rows of counters and totals; they are in the copy.
        for _ in range(2):
            for index, identity in enumerate(identities):
                claims[index] = _turn(database, identity, claims[index], batch, rng)
        with database.gate.held():
            database.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            shutil.copy(settings.database_path, folder / "before.db")
        recorder.take()
        turns: list[replay.Turns] = [[] for _ in identities]
        while any(claims):
            for index, identity in enumerate(identities):
                if claims[index]:
                    claims[index] = _turn(database, identity, claims[index], batch, rng)
                    turns[index] += recorder.take()
    for index, recording in enumerate(turns):
        replay.save(recording, folder / f"turns-{index}")
    (folder / "jobs").write_text(str(jobs))
    shutil.rmtree(system.folder)


def _turn(
    database: Database, worker: WorkerIdentity, claims: list[Claim], batch: int, rng: random.Random
) -> list[Claim]:
    now = SystemClock().now()
    finished = Batch.of(
        [
            FinishedAttempt(claim.attempt_id, Outcome.DONE, now, now + 5, '{"sum": 5050}')
            for claim in claims
        ]
    )
    with database.write() as tx:
        return list(turn(tx, worker, finished, (), batch, rng).claims)


def _replayed(run: Run, kept: Path, processes: int) -> Callable[[], dict[str, float]]:
    def measure() -> dict[str, float]:
        found = {}
        for durability in ("full", "normal"):
            with run.scratch("replay") as folder:
                found[f"drain, {durability}"] = _replay(folder, kept, processes, durability)
        return found

    return measure


def _replay(folder: Path, kept: Path, processes: int, durability: str) -> float:
    database = folder / "orpheus.db"
    shutil.copy(kept / "before.db", database)
    before = _done(database)
    begin = folder / "begin"
    children = [
        subprocess.Popen(
            python(
                "bench.replayer", str(database), str(kept / f"turns-{n}"), durability, str(begin)
            ),
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        for n in range(processes)
    ]
    try:
        wait_for(lambda: len(list(folder.glob("begin-*"))) == processes, 60, "the bare loop")
        begin.touch()
        spans = [json.loads(child.communicate(timeout=120)[0]) for child in children]
    finally:
        for child in children:
            stop(child)
    done = _done(database) - before
    expected = int((kept / "jobs").read_text()) - before
    if done != expected:
        raise RuntimeError(
            f"the replay settled {done} of {expected} jobs: order matters to the SQL"
        )
    ended = max(float(span["ended"]) for span in spans)
    return done / (ended - min(float(span["begun"]) for span in spans))


def _done(database: Path) -> int:
    connection = sqlite3.connect(database)
    try:
        sql = "SELECT count(*) FROM jobs WHERE state = ?"
        return int(connection.execute(sql, (JobState.DONE,)).fetchone()[0])
    finally:
        connection.close()


# --- the insert -----------------------------------------------------------------------------------

_BARE_INSERT = """
INSERT INTO jobs (type, queue, lane, state, priority, payload, max_retries, max_crashes,
                  backoff_base, backoff_cap, timeout, created_at, run_at)
SELECT 'bench_sum', 'default', 'sync', 'pending', 0, value, 3, 3, 1000000, 300000000,
       3600000000, ?, ? FROM json_each(?)
"""


def inserted(run: Run, part: str = "limit", rounds: int = 4) -> float:
    """Jobs a second of the bare insert statement, and of the store's submit; returns the first."""
    with run.scratch("insert") as folder:
        system = Orpheus(folder)
        rows = run.jobs(10_000)
        payloads = json.dumps([json.dumps({"n": 100})] * rows)
        with store(system.settings):
            pass
        connection = connect(system.settings.database_path, "full")
        # As often as the store copies its log back.
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        now = SystemClock().now()
        begun = time.perf_counter()
        for _ in range(rounds):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_BARE_INSERT, (now, now, payloads))
            connection.execute("COMMIT")
        bare = rounds * rows / (time.perf_counter() - begun)
        connection.close()
        run.results.add(part, "bare INSERT … SELECT FROM json_each", "insert", "jobs/s", bare)
    if part == "limit":
        with run.scratch("submit") as folder, store(Orpheus(folder).settings) as database:
            jobs = [_JOB] * rows
            begun = time.perf_counter()
            for _ in range(rounds):
                put(database, jobs)
            rate = rounds * rows / (time.perf_counter() - begun)
            run.results.add(part, "store.submit, 5,000 a transaction", "insert", "jobs/s", rate)
    return bare

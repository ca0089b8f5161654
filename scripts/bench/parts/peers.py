"""The peers, one after the other in every round, Orpheus among them.

Each has its own fresh folder and server. Jobs are put in, two worker processes start, the drain is
timed; then the idle pool is called 20 times a second: peers in-process, Orpheus over HTTP.
"""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench.exchange import Exchange
from bench.figures import percentile
from bench.marks import FOLDER, Marks, drain_rate
from bench.orpheus_system import Orpheus
from bench.paced import PER_SECOND
from bench.parts.latency import measured, submit_stamp
from bench.peers.surroundings import FOLDER as PEER_FOLDER
from bench.peers.surroundings import SERVER_URL
from bench.preload import new_job, preload
from bench.processes import ask, environment, running, tail, wait_for
from bench.run_state import Run
from bench.servers import NoServer, server

ORPHEUS = "Orpheus"
ADAPTERS = (
    "huey_sqlite",
    "litequeue_sqlite",
    "persist_queue_sqlite",
    "dbos_sqlite",
    "celery_redis",
    "rq_redis",
    "rq_simple",
    "dramatiq_redis",
    "taskiq_redis",
    "procrastinate_postgres",
    "pgqueuer_postgres",
    "pgqueuer_batch",
)
_DRAIN_WITHIN = 30
_WARM = 5


def run(run: Run) -> None:
    """Round after round, so that all see the same good and bad minutes."""
    chosen = [name for name in ADAPTERS if not run.peers or name in run.peers]
    seconds = run.seconds(2.5, 2)
    given_up: set[str] = set()
    for number in range(run.rounds):
        _orpheus(run, seconds)
        for name in chosen:
            if name in given_up:
                continue
            adapter = importlib.import_module(f"bench.peers.{name}")
            begun = time.monotonic()
            try:
                _peer(run, name, adapter, seconds)
            except (NoServer, RuntimeError, OSError) as error:
                run.results.skip("peers", adapter.TITLE, f"round {number + 1}: {error}")
                given_up.add(name)
            run.say(f"  {adapter.TITLE}: {time.monotonic() - begun:.1f} s")


def _orpheus(run: Run, seconds: float) -> None:
    jobs, times = run.jobs(40_000), int(PER_SECOND * seconds)
    with run.scratch("peer-orpheus") as folder:
        system = Orpheus(folder)
        preload(system.settings, new_job("bench_sum", {"n": 100}), jobs)
        with system.api(), system.pool(ready=False):
            rate = drain_rate(system.marks, jobs, 120)
            exchange = Exchange(system.port)
            time.sleep(0.5)
            waits = measured(system, lambda: submit_stamp(exchange), times)
            exchange.close()
    _note(run, ORPHEUS, "SQLite WAL, synced; latency over HTTP", rate, waits)


def _peer(run: Run, name: str, adapter: Any, seconds: float) -> None:
    jobs, times = run.jobs(adapter.JOBS), int(PER_SECOND * seconds)
    with run.scratch(name) as folder, server(adapter.SERVER, folder) as url:
        marks = Marks(folder / "marks")
        values = {FOLDER: str(marks.folder), PEER_FOLDER: str(folder), SERVER_URL: url}
        env = environment(**values)

        def produce(what: str, n: int) -> float:
            answer = ask("bench.peers.produce", name, what, str(n), env=env, timeout=90)
            return float(answer["seconds"])

        produce("setup", 0)
        enqueued = (jobs - _WARM) / produce("enqueue", jobs)
        # The adapter builds its command lines from the same surroundings.
        argvs = ask("bench.peers.workers", name, env=env)
        log = folder / "workers.txt"
        with running(argvs, log, env, folder):
            try:
                rate = drain_rate(marks, jobs, _DRAIN_WITHIN)
            except RuntimeError as error:
                raise RuntimeError(f"{error}: {tail(log)}") from None
            time.sleep(0.5)
            # The first calls of a fresh producer import and connect: they do not count.
            produce("latency", times + _WARM)
            wait_for(lambda: len(marks.waits(_WARM)) >= times, 15, "the start of paced jobs")
            waits = marks.waits(_WARM)
    run.results.add("peers", adapter.TITLE, "enqueue one by one", "jobs/s", enqueued)
    _note(run, adapter.TITLE, f"{adapter.DURABILITY}. {adapter.NOTE}", rate, waits)


def _note(run: Run, title: str, note: str, rate: float, waits: list[float]) -> None:
    run.results.add("peers", title, "drain", "jobs/s", rate, note)
    run.results.add("peers", title, "p50", "ms", percentile(waits, 50))
    run.results.add("peers", title, "p99", "ms", percentile(waits, 99))

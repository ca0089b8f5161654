"""Submit to start on an idle pool, 20 a second, and the paced floor, in turns.

The floor is what nobody can do without: one loopback HTTP exchange with a bare route, one synced
commit, one claim commit (not synced: a power cut kills the claimant too), in one process, with no
process woken in between.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.bare_server import bare_server
from bench.exchange import Exchange
from bench.figures import percentile
from bench.orpheus_system import Orpheus
from bench.paced import PER_SECOND, paced
from bench.preload import new_job, put, ring_workers, store
from bench.processes import wait_for
from bench.run_state import Run
from orpheus.store.database import connect

_HTTP = "Orpheus over HTTP"
_DIRECT = "Orpheus, store.submit and doorbell in-process"
_FLOOR = "paced floor"


def run(run: Run) -> None:
    """Some seconds of each a round; percentiles of each round."""
    times = int(PER_SECOND * run.seconds(5, 4))
    with run.scratch("latency") as folder:
        system = Orpheus(folder)
        with system.api(), system.pool(), bare_server(folder) as bare:
            for _ in range(run.rounds):
                # Anew each round: the server lets go of connections that are quiet for seconds.
                exchange, bare_exchange = Exchange(system.port), Exchange(bare)
                _note(run, _HTTP, measured(system, partial(submit_stamp, exchange), times))
                with store(system.settings) as database:

                    def direct() -> None:
                        put(database, [new_job("bench_stamp", {"sent": time.monotonic_ns()})])
                        ring_workers(system.settings)

                    _note(run, _DIRECT, measured(system, direct, times))
                _note(run, _FLOOR, _floor(folder, bare_exchange, times))
                exchange.close()
                bare_exchange.close()


def submit_stamp(exchange: Exchange) -> None:
    """One job that notes when it starts."""
    body = b'{"type":"bench_stamp","payload":{"sent":%d}}' % time.monotonic_ns()
    exchange.post("/jobs", body)


def measured(system: Orpheus, submit: Callable[[], None], times: int) -> list[float]:
    """Milliseconds from submit to start of `times` jobs."""
    paced(submit, 5)
    time.sleep(0.5)
    system.marks.clear()
    paced(submit, times)
    wait_for(lambda: len(system.marks.waits()) >= times, 10, "the start of paced jobs")
    return system.marks.waits()


def _note(run: Run, subject: str, waits: list[float]) -> None:
    for share in (50, 99):
        run.results.add("latency", subject, f"p{share}", "ms", percentile(waits, share))


def _floor(folder: Path, exchange: Exchange, times: int) -> list[float]:
    path = folder / "floor.db"
    connection = connect(path, "full")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS jobs (id INTEGER PRIMARY KEY, state TEXT)")
    waits: list[float] = []

    def once() -> None:
        begun = time.perf_counter()
        exchange.post("/bare", b"{}")
        _commit(connection, "full", "INSERT INTO jobs (state) VALUES ('pending')")
        _commit(
            connection,
            "normal",
            "UPDATE jobs SET state = 'in_progress' WHERE id = (SELECT max(id) FROM jobs)",
        )
        waits.append((time.perf_counter() - begun) * 1000)

    paced(once, times)
    connection.close()
    return waits


def _commit(connection: sqlite3.Connection, synchronous: str, sql: str) -> None:
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(sql)
    connection.execute("COMMIT")

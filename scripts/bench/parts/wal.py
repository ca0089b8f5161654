"""The size of the write-ahead log under a sustained load with twenty readers, and after it."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from pathlib import Path

from bench.orpheus_system import Orpheus
from bench.parts.http import load
from bench.preload import new_job, preload
from bench.run_state import Run

_READERS = 20
_READ_SECONDS = 0.05


def run(run: Run) -> None:
    """Once: submits and a drain, beside readers that hold a snapshot for 50 ms at a time."""
    seconds = run.seconds(10, 5)
    with run.scratch("wal") as folder:
        system = Orpheus(folder)
        body = folder / "body.json"
        body.write_bytes(json.dumps({"type": "bench_sum", "payload": {"n": 100}}).encode())
        job = new_job("bench_sum", {"n": 100})
        preload(system.settings, job, run.jobs(300_000))
        over = threading.Event()
        sizes: list[int] = []
        with system.api(), system.pool():
            path = system.settings.database_path
            threads = [threading.Thread(target=_read, args=(path, over)) for _ in range(_READERS)]
            threads.append(threading.Thread(target=_watch, args=(system, over, sizes)))
            for thread in threads:
                thread.start()
            try:
                load(system.port, body, seconds, connections=10)
            finally:
                over.set()
                for thread in threads:
                    thread.join()
            largest = max(sizes)
            time.sleep(5)
            after = system.file_bytes("-wal")
        subject = f"{seconds:g} s of submits and drain, {_READERS} readers"
        run.results.add("wal", subject, "largest WAL", "MB", largest / 1e6)
        run.results.add("wal", subject, "WAL 5 s later", "MB", after / 1e6)


def _read(path: Path, over: threading.Event) -> None:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode=ro", uri=True, timeout=5, isolation_level=None
    )
    while not over.is_set():
        connection.execute("BEGIN")
        connection.execute("SELECT id, state FROM jobs ORDER BY id DESC LIMIT 50").fetchall()
        time.sleep(_READ_SECONDS)
        connection.execute("COMMIT")
        time.sleep(0.005)
    connection.close()


def _watch(system: Orpheus, over: threading.Event, sizes: list[int]) -> None:
    sizes.append(system.file_bytes("-wal"))
    while not over.wait(0.02):
        sizes.append(system.file_bytes("-wal"))

"""DBOS on SQLite: a workflow without steps, on a queue, two processes."""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import folder

TITLE = "DBOS (SQLite)"
SERVER = None
DURABILITY = "SQLite's default journal, synchronous FULL"
NOTE = "a workflow without steps on a queue; default polling of 1 s"
JOBS = 500

_client: Any = None


def _url() -> str:
    return f"sqlite:///{folder() / 'dbos.sqlite'}"


def workers() -> list[list[str]]:
    """Two processes."""
    return [[sys.executable, "-m", "bench.peers.dbos_sqlite", str(n)] for n in range(2)]


def setup() -> None:
    """Makes the file and the queue."""
    _launched("setup").destroy()


def _launched(executor: str) -> Any:
    dbos = importlib.import_module("dbos").DBOS
    config = {
        "name": "bench",
        "system_database_url": _url(),
        "application_version": "1",
        "executor_id": executor,
        "log_level": "WARNING",
    }
    dbos(config=config)
    dbos.workflow(name="sum_range")(work.sum_range)
    dbos.workflow(name="started")(work.started)
    dbos.launch()
    dbos.register_queue("jobs")
    return dbos


def _enqueue(name: str, argument: int) -> None:
    global _client
    if _client is None:
        _client = importlib.import_module("dbos").DBOSClient(system_database_url=_url())
    _client.enqueue({"workflow_name": name, "queue_name": "jobs", "app_version": "1"}, argument)


def enqueue(n: int) -> None:
    """One by one."""
    for _ in range(n):
        _enqueue("sum_range", 100)


def stamp() -> None:
    """One now."""
    _enqueue("started", time.monotonic_ns())


def main() -> None:
    """The worker."""
    _launched(f"worker-{sys.argv[1]}-{os.getpid()}")
    while True:
        time.sleep(60)


if __name__ == "__main__":
    main()

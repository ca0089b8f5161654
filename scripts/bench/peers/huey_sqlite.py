"""huey on SQLite, `SqliteHuey` as it comes."""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import command, folder

TITLE = "huey (SQLite)"
SERVER = None
DURABILITY = "WAL, synchronous FULL; a task is deleted before it runs (at most once)"
NOTE = "huey_consumer -k process -w 2; otherwise defaults"
JOBS = 2000

_app: Any = None


def app() -> Any:
    """The queue, with its tasks."""
    global _app
    if _app is None:
        _app = importlib.import_module("huey").SqliteHuey(filename=str(folder() / "huey.db"))
        _app.sum_range = _app.task(name="sum_range")(work.sum_range)
        _app.started = _app.task(name="started")(work.started)
    return _app


def __getattr__(name: str) -> Any:
    # The consumer is given a dotted name.
    if name == "huey":
        return app()
    raise AttributeError(name)


def workers() -> list[list[str]]:
    """One consumer with two processes."""
    consumer = command("huey_consumer")
    return [[consumer, "bench.peers.huey_sqlite.huey", "-k", "process", "-w", "2", "-q"]]


def setup() -> None:
    """Makes the file."""
    app()


def enqueue(n: int) -> None:
    """One by one."""
    for _ in range(n):
        app().sum_range(100)


def stamp() -> None:
    """One now."""
    app().started(time.monotonic_ns())

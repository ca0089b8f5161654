"""Celery on Redis, results in Redis."""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import server_url

TITLE = "Celery (Redis)"
SERVER: str | None = "redis"
DURABILITY = "Redis's default, unsynced snapshots; a task is taken before it runs (acks early)"
NOTE = "prefork, concurrency 2, results kept; otherwise defaults"
JOBS = 1000

_app: Any = None


def app() -> Any:
    """The application, with its tasks."""
    global _app
    if _app is None:
        _app = importlib.import_module("celery").Celery(
            "bench", broker=server_url(), backend=server_url()
        )
        _app.sum_task = _app.task(name="sum_range")(work.sum_range)
        _app.started_task = _app.task(name="started")(work.started)
    return _app


def __getattr__(name: str) -> Any:
    # The worker is given a dotted name.
    if name == "celery":
        return app()
    raise AttributeError(name)


def workers() -> list[list[str]]:
    """One worker with two processes."""
    celery = [sys.executable, "-m", "celery", "-A", "bench.peers.celery_redis:celery"]
    return [[*celery, "worker", "--concurrency", "2", "--loglevel", "ERROR"]]


def setup() -> None:
    """Nothing to make."""


def enqueue(n: int) -> None:
    """One by one."""
    for _ in range(n):
        app().sum_task.delay(100)


def stamp() -> None:
    """One now."""
    app().started_task.delay(time.monotonic_ns())

"""RQ on Redis: the default worker, which forks for every job."""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import command, server_url

TITLE = "RQ (Redis)"
SERVER = "redis"
DURABILITY = "Redis's default, unsynced snapshots"
NOTE = "two default workers, a fork a job"
JOBS = 100
WORKER: list[str] = []

_queue: Any = None


def queue() -> Any:
    """The queue."""
    global _queue
    if _queue is None:
        connection = importlib.import_module("redis").Redis.from_url(server_url())
        _queue = importlib.import_module("rq").Queue(connection=connection)
    return _queue


def workers() -> list[list[str]]:
    """Two workers."""
    return [[command("rq"), "worker", "--url", server_url(), "--quiet", *WORKER]] * 2


def setup() -> None:
    """Nothing to make."""


def enqueue(n: int) -> None:
    """One by one."""
    for _ in range(n):
        queue().enqueue(work.sum_range, 100)


def stamp() -> None:
    """One now."""
    queue().enqueue(work.started, time.monotonic_ns())

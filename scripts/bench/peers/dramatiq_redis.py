"""Dramatiq on Redis."""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import command, server_url

TITLE = "Dramatiq (Redis)"
SERVER = "redis"
DURABILITY = "Redis's default, unsynced snapshots; no results by default"
NOTE = "two processes with their default 8 threads"
JOBS = 5000

_actors: dict[str, Any] = {}


def actor(name: str) -> Any:
    """An actor; the first call makes the broker."""
    if not _actors:
        dramatiq = importlib.import_module("dramatiq")
        redis = importlib.import_module("dramatiq.brokers.redis")
        dramatiq.set_broker(redis.RedisBroker(url=server_url()))
        for function in (work.sum_range, work.started):
            one = dramatiq.actor(function, actor_name=function.__name__)
            _actors[function.__name__] = one
    return _actors[name]


def workers() -> list[list[str]]:
    """One command with two processes."""
    return [[command("dramatiq"), "--processes", "2", "bench.peers.dramatiq_actors"]]


def setup() -> None:
    """Nothing to make."""


def enqueue(n: int) -> None:
    """One by one."""
    for _ in range(n):
        actor("sum_range").send(100)


def stamp() -> None:
    """One now."""
    actor("started").send(time.monotonic_ns())

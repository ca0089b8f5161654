"""taskiq on Redis lists: the fastest of its brokers, at most once."""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench.peers import work
from bench.peers.async_calls import call
from bench.peers.surroundings import command, server_url

TITLE = "taskiq (Redis list)"
SERVER = "redis"
DURABILITY = "Redis's default, unsynced snapshots; a task is taken before it runs (at most once)"
NOTE = "two processes; no result backend, as by default"
JOBS = 5000

_broker: Any = None


def made() -> Any:
    """The broker, with its tasks."""
    global _broker
    if _broker is None:
        _broker = importlib.import_module("taskiq_redis").ListQueueBroker(server_url())
        for function in (work.sum_range, work.started):
            setattr(_broker, function.__name__, _broker.task(task_name=function.__name__)(function))
    return _broker


def __getattr__(name: str) -> Any:
    # The worker is given a dotted name.
    if name == "broker":
        return made()
    raise AttributeError(name)


def workers() -> list[list[str]]:
    """One command with two processes."""
    worker = [command("taskiq"), "worker", "bench.peers.taskiq_redis:broker"]
    return [[*worker, "--workers", "2", "--log-level", "ERROR"]]


def setup() -> None:
    """Nothing to make."""


def enqueue(n: int) -> None:
    """One by one."""

    async def all_() -> None:
        task = made().sum_range
        for _ in range(n):
            await task.kiq(100)

    call(made().startup())
    call(all_())


def stamp() -> None:
    """One now."""
    call(made().started.kiq(time.monotonic_ns()))

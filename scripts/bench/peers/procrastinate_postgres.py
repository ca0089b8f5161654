"""Procrastinate on PostgreSQL."""

from __future__ import annotations

import importlib
import time
from typing import Any

from bench.peers import work
from bench.peers.surroundings import command, server_url

TITLE = "Procrastinate (PostgreSQL)"
SERVER = "postgres"
DURABILITY = "PostgreSQL's default, synced"
NOTE = "two workers, defaults"
JOBS = 500

_app: Any = None
_opened = False


def made(worker: bool = True) -> Any:
    """The application, with its tasks."""
    global _app
    if _app is None:
        library = importlib.import_module("procrastinate")
        connector = library.PsycopgConnector if worker else library.SyncPsycopgConnector
        _app = library.App(connector=connector(conninfo=server_url()))
        for function in (work.sum_range, work.started):
            setattr(_app, f"{function.__name__}_task", _app.task(name=function.__name__)(function))
    return _app


def __getattr__(name: str) -> Any:
    # The worker is given a dotted name.
    if name == "app":
        return made()
    raise AttributeError(name)


def _open() -> Any:
    global _opened
    app = made(worker=False)
    if not _opened:
        app.open()
        _opened = True
    return app


def workers() -> list[list[str]]:
    """Two workers."""
    one = [command("procrastinate"), "--app", "bench.peers.procrastinate_postgres.app", "worker"]
    return [one] * 2


def setup() -> None:
    """Makes the schema."""
    _open().schema_manager.apply_schema()


def enqueue(n: int) -> None:
    """One by one."""
    app = _open()
    for _ in range(n):
        app.sum_range_task.defer(n=100)


def stamp() -> None:
    """One now."""
    _open().started_task.defer(sent=time.monotonic_ns())

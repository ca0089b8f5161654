"""Jobs put into a database by the store's own submit, for the measurement of what comes after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from orpheus.clock import SystemClock
from orpheus.domain.job import NewJob
from orpheus.ipc.doorbell import ring_all
from orpheus.settings import Settings, prepare_data_dir
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.submit import submit

_AT_ONCE = 5000


def new_job(type_: str, payload: dict[str, object], delay: int | None = None) -> NewJob:
    """A job as `prepare` would make it. `delay` is in microseconds."""
    return NewJob(
        type=type_, queue="default", lane="sync", payload=json.dumps(payload), delay=delay
    )


@contextmanager
def store(settings: Settings) -> Iterator[Database]:
    """The database of these settings, made where it is missing."""
    clock = SystemClock()
    prepare_data_dir(settings)
    migrate(settings, clock)
    database = Database(settings, clock)
    try:
        yield database
    finally:
        database.close()


def put(database: Database, jobs: list[NewJob]) -> None:
    """Submit, some thousand a transaction."""
    for begin in range(0, len(jobs), _AT_ONCE):
        with database.write() as tx:
            submit(tx, jobs[begin : begin + _AT_ONCE], 10**9)


def preload(settings: Settings, job: NewJob, n: int) -> None:
    """`n` equal jobs."""
    with store(settings) as database:
        put(database, [job] * n)


def ring_workers(settings: Settings, later: bool = False) -> None:
    """As after a submit; every worker hears of jobs for `later`."""
    ring_all(settings.run_dir / "bells", "work-" if later else "jobs")

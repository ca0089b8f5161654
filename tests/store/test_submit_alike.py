"""A batch of jobs that are alike leaves what submitting them one by one leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orpheus.domain.job import NewJob
from orpheus.errors import RequestError
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.submit import submit
from orpheus.store.submit_alike import Run, submit_alike
from orpheus.store.transaction import Transaction
from tests.support.clock import FakeClock
from tests.support.stores import new_job, settings_at

PAYLOADS = ["{}", '{"n":1}', r'{"text":"\u00e4\u0000\ud83d\ude00 \"\\\" %s"}', '{"n":1e400}']
TABLES = ("jobs", "events", "counters", "totals", "activity", "queues", "tags", "sqlite_sequence")


def same(values: dict[str, Any]) -> list[NewJob]:
    return [new_job(**values, payload=payload) for payload in PAYLOADS]


def run_of(jobs: Sequence[NewJob]) -> Run:
    return Run(jobs[0], [job.payload for job in jobs], len(jobs))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Stored:
    """A database, and all that is in it."""

    def __init__(self, folder: Path, clock: FakeClock) -> None:
        folder.mkdir()
        settings = settings_at(folder)
        migrate(settings, clock)
        self.database = Database(settings, clock)

    def contents(self) -> dict[str, list[Any]]:
        execute = self.database.connection.execute
        return {
            table: sorted(execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in TABLES
        }

    def write(self, act: Any) -> Any:
        with self.database.write() as tx:
            return act(tx)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"delay": 5_000_000},
        {"run_at": 1},
        {"priority": 9, "queue": "other", "lane": "async", "timeout": 7, "meta": '{"a":1}'},
        {"max_retries": 0, "max_crashes": 9, "backoff_base": 4, "backoff_cap": 5},
    ],
    ids=str,
)
def test_it_leaves_the_same(tmp_path: Path, clock: FakeClock, values: dict[str, Any]) -> None:
    jobs = same(values)
    one_by_one, together = Stored(tmp_path / "a", clock), Stored(tmp_path / "b", clock)
    for stored in (one_by_one, together):
        stored.write(lambda tx: submit(tx, [new_job()], 10))
    clock.advance(1)
    items = one_by_one.write(lambda tx: submit(tx, jobs, 10))
    answered = together.write(lambda tx: submit_alike(tx, run_of(jobs), 10))
    assert answered == (items[0].id, items[0].state)
    assert together.contents() == one_by_one.contents()
    for stored in (one_by_one, together):
        stored.database.close()


def test_all_or_none(tmp_path: Path, clock: FakeClock) -> None:
    stored = Stored(tmp_path / "a", clock)
    jobs = same({})

    def too_many(tx: Transaction) -> None:
        submit(tx, [new_job()], 4)
        with pytest.raises(RequestError, match="at most 4 may"):
            submit_alike(tx, run_of(jobs), 4)

    stored.write(too_many)
    assert len(stored.contents()["jobs"]) == len(stored.contents()["events"]) == 1
    stored.write(lambda tx: submit_alike(tx, run_of(jobs), 5))
    assert len(stored.contents()["jobs"]) == 5
    stored.database.close()


def test_in_the_order_given(tmp_path: Path, clock: FakeClock) -> None:
    stored = Stored(tmp_path / "a", clock)
    payloads = [f'{{"n":{n}}}' for n in range(3000)]
    run = Run(new_job(), payloads, len(payloads))
    first, _ = stored.write(lambda tx: submit_alike(tx, run, 3000))
    execute = stored.database.connection.execute
    assert execute("SELECT id, payload FROM jobs ORDER BY id").fetchall() == [
        (first + n, payload) for n, payload in enumerate(payloads)
    ]
    events = [row[0] for row in execute("SELECT job_id FROM events ORDER BY seq")]
    assert events == list(range(first, first + len(payloads)))
    stored.database.close()

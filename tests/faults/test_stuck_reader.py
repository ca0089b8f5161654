"""A reader that stays keeps the log from beginning anew: it is seen in the figures, and told."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from orpheus.api.metric_families import stored_families
from orpheus.cli.doctor import database
from orpheus.clock import SystemClock
from orpheus.store.database import readonly_uri
from orpheus.store.reads import Reads
from tests.support.clock import FakeClock
from tests.support.stores import Store, new_job, open_store

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, unsynced=True) as store:
        yield store


async def log_in_the_figures(store: Store) -> float:
    """What `orpheus_db_bytes{file="wal"}` says."""
    async with Reads(store.settings.database_path, store.clock) as reads:
        rows = await reads.metrics()
    (family,) = [one for one in stored_families(rows) if one.name == "orpheus_db_bytes"]
    (sample,) = [one for one in family.samples if one.labels == {"file": "wal"}]
    return float(sample.value)


async def test_it_shows_in_the_metric(store: Store) -> None:
    clock = store.clock
    assert isinstance(clock, FakeClock)
    uri = readonly_uri(store.settings.database_path)
    with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM jobs").fetchone()
        for _ in range(3):
            store.submit(*[new_job(payload=f'"{"x" * 200_000}"')] * 65)
            clock.advance(3)
            store.database.log.tend()
        # Beyond what the log reaches without such a reader (ADR 0017).
        assert await log_in_the_figures(store) > 32 * MIB
    clock.advance(3)
    store.database.log.tend()
    assert await log_in_the_figures(store) == 0


def test_the_doctor_says_what_to_look_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.submit(new_job())
    for limit, level in ((MIB, "ok"), (1, "warning")):
        monkeypatch.setattr(database, "_LARGE_LOG", limit)
        found = list(database.check(store.settings, SystemClock()))
        (finding,) = [one for one in found if one.check == "write-ahead log"]
        assert finding.level == level
    assert "a reader" in finding.advice

"""What is old is forgotten a little at a time, and nobody waits for it."""

from __future__ import annotations

import select
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus.clock import SECOND_NS
from orpheus.errors import StoreBusy
from orpheus.maintenance.loop import Loop
from orpheus.maintenance.retention import Retention
from orpheus.store.database import Database
from tests.support.pools import PoolBench, done, pool_bench

KEPT = 1000


@pytest.fixture
def few_events(tmp_path: Path) -> Iterator[PoolBench]:
    with pool_bench(tmp_path, keep_events=KEPT) as bench:
        yield bench


def make_events(bench: PoolBench, n: int) -> None:
    bench.query(
        "WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < ?)"
        " INSERT INTO events (at, event) SELECT i, 'made up' FROM series",
        n,
    )


def events(bench: PoolBench) -> int:
    ((n,),) = bench.query("SELECT count(*) FROM events")
    return int(n)


def test_it_takes_a_tenth_of_the_time(
    few_events: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting for the gate counts: others stand in the same line."""
    bench = few_events
    make_events(bench, 4000)
    retention = Retention(bench.pool())
    write = Database.write

    def in_line(*arguments: Any, **options: Any) -> Any:
        bench.clock.ahead += 1
        return write(*arguments, **options)

    monkeypatch.setattr(Database, "write", in_line)
    retention.run()
    assert events(bench) == 2000
    pause = (retention.due - bench.clock.monotonic()) / SECOND_NS
    assert 8 < pause < 20
    retention.run()
    assert events(bench) == 2000
    bench.clock.ahead += pause
    retention.run()
    assert events(bench) == KEPT
    assert retention.due - bench.clock.monotonic() > 20 * SECOND_NS


def test_it_does_not_rest_while_events_are_twice_as_many_as_wanted(few_events: PoolBench) -> None:
    make_events(few_events, 7000)
    retention = Retention(few_events.pool())
    for left in (5000, 3000, KEPT):
        retention.run()
        assert events(few_events) == left


def test_nothing_old_takes_the_gate_once_for_everything(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.submit(1)
    taken: list[bool] = []
    write = Database.write

    def counted(*arguments: Any, synced: bool = True, **options: Any) -> Any:
        taken.append(synced)
        return write(*arguments, synced=synced, **options)

    monkeypatch.setattr(Database, "write", counted)
    Retention(bench.pool()).run()
    assert taken == [False]


def test_jobs_that_ended_long_ago_go_in_small_steps(bench: PoolBench) -> None:
    bench.submit(250)
    pool = bench.pool()
    lane = bench.lane(pool, lambda claim: done(claim, bench), room=250)
    result = lane._turn(250)
    assert result is not None
    lane._work(deque(result.claims))
    lane._turn(0)
    retention = Retention(pool)
    retention.run()
    assert bench.query("SELECT count(*) FROM jobs") == [(250,)]

    bench.clock.ahead += (bench.settings.keep_done_days + 1) * 86_400
    retention.run()
    ((left,),) = bench.query("SELECT count(*) FROM jobs")
    assert 0 < left < 250
    bench.clock.ahead += 1
    retention.run()
    assert bench.query("SELECT count(*) FROM jobs") == [(0,)]
    assert bench.query("SELECT count(*) FROM attempts") == [(0,)]
    assert bench.query("SELECT sum(n) FROM counters") == [(0,)]


class TestTheLoop:
    @pytest.fixture
    def bench(self, few_events: PoolBench) -> PoolBench:
        return few_events

    @pytest.fixture
    def pauses(self, maintenance: Loop, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """How long it sleeps in each of its first three rounds; then it ends."""
        pauses: list[float] = []

        def sleep(
            reading: list[int], _writing: object, _other: object, seconds: float
        ) -> tuple[list[int], list[int], list[int]]:
            pauses.append(seconds)
            maintenance.stopping = len(pauses) == 3
            return [], [], []

        monkeypatch.setattr(select, "select", sleep)
        return pauses

    def test_wakes_for_what_is_left(
        self, bench: PoolBench, maintenance: Loop, pauses: list[float]
    ) -> None:
        make_events(bench, 4000)
        maintenance.run()
        assert pauses[0] < 0.4

    def test_is_not_hurried_by_it_while_the_store_is_busy(
        self, maintenance: Loop, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def busy() -> None:
            raise StoreBusy("the disk is full")

        maintenance._retention.due = 1
        monkeypatch.setattr(maintenance._renewals, "mark_running", busy)
        maintenance.run()
        assert pauses == [0.5] * 3

"""A worker that is called for a job searches for due ones first, unless it knows there are none."""

from __future__ import annotations

import pytest

from orpheus.ipc.doorbell import ring_all
from orpheus.store.transaction import Transaction
from orpheus.worker.sync_lane import SyncLane
from tests.support.pools import PoolBench, done


def searches(tx: Transaction) -> int:
    raise AssertionError("there was nothing to search for")


@pytest.fixture
def lane(bench: PoolBench) -> SyncLane:
    return bench.lane(bench.pool(), lambda claim: done(claim, bench))


def woken(lane: SyncLane, bench: PoolBench, monkeypatch: pytest.MonkeyPatch, *bells: str) -> bool:
    """What sleeping comes to where something happens the moment the worker falls asleep."""
    sleep = lane._sleeper.wait

    def wait(_: float) -> list[int]:
        for prefix in bells:
            ring_all(bench.settings.run_dir / "bells", prefix)
        return sleep(0)

    with monkeypatch.context() as patch:
        patch.setattr(lane._sleeper, "wait", wait)
        return lane._wait()


def claimed(lane: SyncLane) -> list[int]:
    result = lane._turn(10)
    assert result is not None
    lane._give_back.clear()
    return [claim.job_id for claim in result.claims]


def schedule(bench: PoolBench, seconds: float) -> int:
    (job,) = bench.submit(1, delay=int(seconds * 1e6))
    return job


def test_it_does_not_search_where_nothing_can_be_due(
    bench: PoolBench, lane: SyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = schedule(bench, 60)
    assert woken(lane, bench, monkeypatch, "jobs")
    (now,) = bench.submit(1)
    with monkeypatch.context() as patch:
        patch.setattr("orpheus.store.turn.promote", searches)
        assert claimed(lane) == [now]
    # It knew so for that turn only.
    bench.database.connection.execute("UPDATE jobs SET run_at = 0 WHERE id = ?", (later,))
    assert claimed(lane) == [later]


def test_it_does_where_the_time_of_the_next_has_come(
    bench: PoolBench, lane: SyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = schedule(bench, 5)
    assert woken(lane, bench, monkeypatch, "jobs")
    bench.clock.ahead += 6
    assert claimed(lane) == [due]


def test_it_does_where_somebody_rang_for_an_earlier_one(
    bench: PoolBench, lane: SyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule(bench, 60)
    assert woken(lane, bench, monkeypatch, "jobs", "work-")
    early = schedule(bench, 1)
    bench.clock.ahead += 2
    assert claimed(lane) == [early]


def test_it_does_where_it_woke_by_itself(
    bench: PoolBench, lane: SyncLane, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not woken(lane, bench, monkeypatch)
    due = schedule(bench, 1)
    bench.clock.ahead += 2
    assert claimed(lane) == [due]

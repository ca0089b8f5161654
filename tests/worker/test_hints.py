"""Law 7 and protocol C of one worker: it looks by itself, and forgets only what was committed."""

from __future__ import annotations

from collections import deque

import pytest

from orpheus.errors import StoreBusy
from orpheus.store.database import Database
from orpheus.worker.sync_lane import SyncLane
from tests.support.pools import PoolBench, done


def lane_of(bench: PoolBench) -> SyncLane:
    return bench.lane(bench.pool(), lambda claim: done(claim, bench))


def test_an_idle_worker_looks_by_itself_within_seconds(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = lane_of(bench)
    pauses: list[float] = []

    def wait(seconds: float) -> list[int]:
        pauses.append(seconds)
        return []

    monkeypatch.setattr(lane._sleeper, "wait", wait)
    assert not lane._wait()
    assert 0 < pauses[0] <= 2
    lane.close()


def test_the_outbox_is_emptied_only_after_the_commit(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Should the worker die in between, maintenance finds the outcomes there."""
    lane = lane_of(bench)
    (job,) = bench.submit(1)
    result = lane._turn(1)
    assert result is not None
    lane._work(deque(result.claims))
    assert len(lane._outbox) == 1

    def busy(*_: object, **__: object) -> None:
        raise StoreBusy("somebody is inside")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "write", busy)
        assert lane._turn(0) is None
    assert len(lane._outbox) == 1
    assert lane._turn(0) is not None
    assert len(lane._outbox) == 0
    assert bench.states() == {job: "done"}
    lane.close()

"""Who is called for a job, by whom: one ring wakes one worker, who calls the next if need be."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.ipc.doorbell import Doorbell, jobs_bell, ring, worker_bell
from orpheus.store import admission
from orpheus.worker.sync_lane import SyncLane
from tests.support.pools import PoolBench, done
from tests.support.system import System


@pytest.fixture
def call(bench: PoolBench) -> Iterator[Doorbell]:
    """What all idle workers listen to."""
    bell = Doorbell(jobs_bell(bench.settings.run_dir), shared=True)
    yield bell
    bell.close()


def lane_of(bench: PoolBench) -> SyncLane:
    return bench.lane(bench.pool(), lambda claim: done(claim, bench), room=1)


def test_who_leaves_jobs_behind_calls_the_next(bench: PoolBench, call: Doorbell) -> None:
    lane = lane_of(bench)
    bench.submit(2)
    assert lane._turn(1) is not None
    assert call.drain()
    assert lane._turn(1) is not None
    assert not call.drain()
    lane.close()


def test_who_is_called_takes_the_job(bench: PoolBench, call: Doorbell) -> None:
    lane = lane_of(bench)
    bench.submit(1)
    ring(call.path)
    assert lane._wait()
    # Taken in: it must not call anybody a second time.
    assert not call.drain()
    lane.close()


def test_who_leaves_hands_a_call_on(bench: PoolBench, call: Doorbell) -> None:
    """It may have taken one and not followed it."""
    lane = lane_of(bench)
    lane.request_stop()
    lane.run()
    assert call.drain()
    lane.close()


def test_nobody_claims_on_a_disk_that_is_nearly_full(
    bench: PoolBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left of it is for the results of what runs."""
    free = [admission.CLAIM_FLOOR_BYTES - 1]
    monkeypatch.setattr(admission, "_free_bytes", lambda _: free[0])
    lane = lane_of(bench)
    bench.submit(1)
    states: list[str] = []

    def wait(_: float) -> list[int]:
        states.append(bench.states()[1])
        free[0] += 1
        bench.clock.ahead += 1
        lane.stopping = len(states) == 2
        return []

    monkeypatch.setattr(lane._sleeper, "wait", wait)
    lane.run()
    assert states == ["pending", "done"]
    lane.close()


def test_a_retry_for_later_is_told_to_every_worker(bench: PoolBench) -> None:
    def fail(claim: Claim) -> FinishedAttempt:
        now = bench.clock.now()
        error = AttemptError("ValueError", "no", Outcome.FAILED)
        return FinishedAttempt(claim.attempt_id, Outcome.FAILED, now, now, error=error)

    lane = bench.lane(bench.pool(), fail, room=1)
    other = Doorbell(worker_bell(bench.settings.run_dir, "main", 1))
    bench.submit(1)
    claimed = lane._turn(1)
    assert claimed is not None
    assert not other.drain()
    lane._work(deque(claimed.claims))
    lane._turn(1)
    assert bench.states() == {1: "scheduled"}
    assert other.drain()
    other.close()
    lane.close()


@pytest.mark.processes
@pytest.mark.timeout(60)
def test_a_batch_brings_in_as_many_workers_as_it_has_work_for(tmp_path: Path) -> None:
    with System(tmp_path, {"PROCESSES": "3"}) as system, system.client() as client:
        wanted = {"type": "sleep", "payload": {"seconds": 1}}
        jobs = [
            client.wait(one["id"], timeout=20)
            for one in client.submit_many([wanted, wanted, wanted])
        ]
    assert len({job["worker"] for job in jobs}) == 3

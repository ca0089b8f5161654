"""Protocol C: a finished result neither waits behind a slow job nor dies with it."""

from __future__ import annotations

import signal
from collections import deque

import pytest

from orpheus.domain.attempt import Claim
from orpheus.domain.outcome import FinishedAttempt
from orpheus.ipc.scoreboard import DEAD, FREE, OUTBOX_SIZE
from orpheus.maintenance.outboxes import Outboxes
from orpheus.maintenance.recovery import settle_dead_slots
from orpheus.worker.sync_lane import SyncLane
from tests.support.pools import PoolBench, begin, done


class WorkerDied(BaseException):
    """Ends a lane of the test where a process would have ended."""


def start(lane: SyncLane) -> None:
    result = lane._turn(lane.room.size)
    assert result is not None
    lane._work(deque(result.claims))


def test_results_before_a_slow_job_are_settled_while_it_runs(bench: PoolBench) -> None:
    pool = bench.pool()
    jobs = bench.submit(3)

    def run(claim: Claim) -> FinishedAttempt:
        begin(pool.board.slots[0], claim, bench)
        if claim.job_id == jobs[2]:
            bench.clock.ahead += 0.05
            Outboxes(pool).settle()
            assert bench.states() == {jobs[0]: "done", jobs[1]: "done", jobs[2]: "in_progress"}
        return done(claim, bench)

    lane = bench.lane(pool, run)
    start(lane)
    result = lane._turn(0)
    # What maintenance settled was not lost, and is not settled twice.
    assert result is not None
    assert result.settled.lost == ()
    assert bench.query("SELECT value FROM totals WHERE name = 'fenced_writes'") == []
    finished = bench.query("SELECT value FROM totals WHERE name = 'jobs_finished'")
    assert finished == [(3.0,)]


def test_results_finished_before_a_death_are_kept_and_not_run_again(bench: PoolBench) -> None:
    pool = bench.pool()
    slot = pool.board.slots[0]
    jobs = bench.submit(4)

    def run(claim: Claim) -> FinishedAttempt:
        begin(slot, claim, bench)
        if claim.job_id == jobs[2]:
            raise WorkerDied
        slot.armed = 0
        return done(claim, bench, result=str(claim.job_id))

    lane = bench.lane(pool, run)
    with pytest.raises(WorkerDied):
        start(lane)
    slot.exit_status, slot.state = int(signal.SIGKILL), DEAD
    settle_dead_slots(pool)

    assert bench.states() == dict(zip(jobs, ["done", "done", "pending", "pending"], strict=True))
    attempts = bench.query("SELECT job_id, outcome, exit FROM attempts ORDER BY id")
    assert attempts == [
        (jobs[0], "done", None),
        (jobs[1], "done", None),
        (jobs[2], "crashed", "SIGKILL"),
        (jobs[3], "interrupted", "SIGKILL"),
    ]
    assert bench.query("SELECT crashes FROM jobs ORDER BY id") == [(0,), (0,), (1,), (0,)]
    assert slot.state == FREE
    assert bench.query("SELECT state, exit FROM workers") == [("crashed", "SIGKILL")]


def test_an_outcome_too_large_for_the_outbox_is_settled_before_the_next_job(
    bench: PoolBench,
) -> None:
    pool = bench.pool()
    jobs = bench.submit(2)
    large = '"' + "x" * OUTBOX_SIZE + '"'

    def run(claim: Claim) -> FinishedAttempt:
        if claim.job_id == jobs[1]:
            assert bench.states()[jobs[0]] == "done"
        return done(claim, bench, result=large)

    start(bench.lane(pool, run))
    assert bench.states()[jobs[1]] == "done"


def test_a_worker_that_lost_its_lease_drops_the_result(bench: PoolBench) -> None:
    pool = bench.pool()
    (job,) = bench.submit(1)
    slot = pool.board.slots[0]

    def run(claim: Claim) -> FinishedAttempt:
        # Taken for dead by mistake, and reclaimed: the fence is what protects the job then.
        slot.exit_status, slot.state = int(signal.SIGKILL), DEAD
        settle_dead_slots(pool)
        return done(claim, bench)

    lane = bench.lane(pool, run)
    start(lane)
    result = lane._turn(0)
    assert result is not None
    assert len(result.settled.lost) == 1
    assert bench.states() == {job: "pending"}
    assert bench.query("SELECT value FROM totals WHERE name = 'fenced_writes'") == [(1.0,)]

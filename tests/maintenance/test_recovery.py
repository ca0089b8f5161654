"""Protocol E: what dead workers leave is settled, and only what is proven dead is reclaimed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque

import pytest

from orpheus.domain.attempt import Claim
from orpheus.domain.outcome import FinishedAttempt
from orpheus.ipc.process import start_time
from orpheus.ipc.scoreboard import CANCELLED, DEAD, DRAIN, FREE, STUCK, TIMED_OUT
from orpheus.maintenance.pool import Pool
from orpheus.maintenance.recovery import (
    reclaim_other_pools,
    settle_dead_slots,
    settle_previous_runs,
)
from orpheus.worker.sync_lane import SyncLane
from tests.support.pools import PoolBench, begin, done
from tests.support.waiting import eventually


class WorkerDied(BaseException):
    """Ends a lane of the test where a process would have ended."""


def die_in_second(
    bench: PoolBench, pool: Pool, jobs: list[int], pid: int | None = None
) -> SyncLane:
    """A worker that finishes the first job, dies in the second, and never starts the third."""
    slot = pool.board.slots[0]

    def run(claim: Claim) -> FinishedAttempt:
        begin(slot, claim, bench)
        if claim.job_id == jobs[1]:
            raise WorkerDied
        slot.armed = 0
        return done(claim, bench)

    lane = bench.lane(pool, run, pid=pid)
    result = lane._turn(lane.room.size)
    assert result is not None
    with pytest.raises(WorkerDied):
        lane._work(deque(result.claims))
    return lane


def outcomes(bench: PoolBench) -> list[str | None]:
    return [row[0] for row in bench.query("SELECT outcome FROM attempts ORDER BY id")]


@pytest.mark.parametrize(
    ("why", "outcome", "state"),
    [
        (None, "crashed", "pending"),
        (STUCK, "crashed", "pending"),
        (TIMED_OUT, "timed_out", "scheduled"),
        (CANCELLED, "cancelled", "cancelled"),
        (DRAIN, "interrupted", "pending"),
    ],
)
def test_the_running_attempt_ends_as_what_killed_it(
    bench: PoolBench, why: int | None, outcome: str, state: str
) -> None:
    pool = bench.pool()
    jobs = bench.submit(3)
    die_in_second(bench, pool, jobs)
    slot = pool.board.slots[0]
    if why is not None:
        slot.killed_for, slot.killed_why = slot.armed, why
    slot.exit_status, slot.state = int(signal.SIGKILL), DEAD
    settle_dead_slots(pool)
    assert outcomes(bench) == ["done", outcome, "interrupted"]
    assert bench.states()[jobs[1]] == state


def test_a_kill_meant_for_an_earlier_attempt_does_not_explain_a_later_one(
    bench: PoolBench,
) -> None:
    pool = bench.pool()
    jobs = bench.submit(3)
    die_in_second(bench, pool, jobs)
    slot = pool.board.slots[0]
    slot.killed_for, slot.killed_why = slot.armed - 1, TIMED_OUT
    slot.exit_status, slot.state = int(signal.SIGKILL), DEAD
    settle_dead_slots(pool)
    assert outcomes(bench)[1] == "crashed"


def test_a_dead_slot_is_free_only_after_it_was_settled(bench: PoolBench) -> None:
    pool = bench.pool()
    jobs = bench.submit(3)
    die_in_second(bench, pool, jobs)
    slot = pool.board.slots[0]
    slot.exit_status, slot.state = int(signal.SIGKILL), DEAD
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orpheus.maintenance.recovery.settle", _fail)
        with pytest.raises(RuntimeError):
            settle_dead_slots(pool)
    assert slot.state == DEAD
    settle_dead_slots(pool)
    assert slot.state == FREE
    assert bench.states()[jobs[0]] == "done"


def test_a_worker_that_died_between_registration_and_scoreboard_is_recorded(
    bench: PoolBench,
) -> None:
    pool = bench.pool()
    bench.lane(pool, lambda claim: done(claim, bench))
    slot = pool.board.slots[0]
    slot.worker_id, slot.state, slot.exit_status = 0, DEAD, int(signal.SIGKILL)
    settle_dead_slots(pool)
    assert bench.query("SELECT state FROM workers") == [("crashed",)]


def test_the_next_run_settles_what_the_last_one_finished_and_blames_what_ran(
    bench: PoolBench,
) -> None:
    jobs = bench.submit(3)
    die_in_second(bench, bench.pool(run=1), jobs)
    after = bench.pool(run=2)
    settle_previous_runs(after)
    assert outcomes(bench) == ["done", "crashed", "interrupted"]
    assert [path.name for path in after.settings.run_dir.glob("*.board")] == [after.board.path.name]


def test_a_run_that_ended_in_a_drain_blames_nobody(bench: PoolBench) -> None:
    jobs = bench.submit(3)
    before = bench.pool(run=1)
    die_in_second(bench, before, jobs)
    before.board.draining = 1
    settle_previous_runs(bench.pool(run=2))
    assert outcomes(bench) == ["done", "interrupted", "interrupted"]


def test_after_a_reboot_everything_was_interrupted(bench: PoolBench) -> None:
    jobs = bench.submit(3)
    die_in_second(bench, bench.pool(run=1), jobs)
    bench.clock.boot = "another boot"
    settle_previous_runs(bench.pool(run=2))
    assert outcomes(bench) == ["interrupted"] * 3
    assert set(bench.states().values()) == {"pending"}


def test_another_pools_worker_is_reclaimed_when_its_lease_is_out_and_its_lock_free(
    bench: PoolBench,
) -> None:
    jobs = bench.submit(3)
    lane = die_in_second(bench, bench.pool("other"), jobs)
    lock = bench.lock_of(lane)
    mine = bench.pool("mine")

    reclaim_other_pools(mine, may_kill=False)
    assert outcomes(bench) == [None] * 3
    bench.clock.ahead += bench.settings.lease_seconds + 1
    reclaim_other_pools(mine, may_kill=False)
    # Expired, but its lock says that it lives: time alone decides nothing (law 4).
    assert outcomes(bench) == [None] * 3
    lock.close()
    reclaim_other_pools(mine, may_kill=False)
    assert outcomes(bench) == ["done", "crashed", "interrupted"]


@pytest.mark.parametrize("lock_is", ["free", "gone"])
def test_a_worker_of_another_boot_is_reclaimed_unless_its_lock_says_that_it_lives(
    bench: PoolBench, lock_is: str
) -> None:
    jobs = bench.submit(3)
    lock = bench.lock_of(die_in_second(bench, bench.pool("other"), jobs))
    # What a time namespace of the same boot looks like from ours.
    bench.clock.boot = "another boot"
    mine = bench.pool("mine")
    reclaim_other_pools(mine, may_kill=True)
    assert outcomes(bench) == [None] * 3
    lock.close()
    if lock_is == "gone":
        lock.path.unlink()
    reclaim_other_pools(mine, may_kill=True)
    assert outcomes(bench) == ["interrupted"] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="killing exactly needs pidfd")
def test_a_live_holder_of_expired_leases_is_killed_before_its_jobs_go_back(
    bench: PoolBench,
) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        jobs = bench.submit(3)
        lane = die_in_second(bench, bench.pool("other"), jobs, pid=sleeper.pid)
        started = start_time(sleeper.pid)
        with bench.database.write() as tx:
            tx.connection.execute("UPDATE workers SET start_time = ?", (started,))
        lock = bench.lock_of(lane)
        mine = bench.pool("mine")
        bench.clock.ahead += bench.settings.lease_seconds + 1

        reclaim_other_pools(mine, may_kill=False)
        assert sleeper.poll() is None
        reclaim_other_pools(mine, may_kill=True)
        eventually(lambda: sleeper.poll() is not None, timeout=10)
        assert outcomes(bench) == [None] * 3
        lock.close()
        reclaim_other_pools(mine, may_kill=True)
        assert outcomes(bench) == ["done", "crashed", "interrupted"]
    finally:
        sleeper.kill()
        sleeper.wait()


def test_a_process_that_only_has_the_pid_of_an_expired_worker_is_left_alone(
    bench: PoolBench,
) -> None:
    jobs = bench.submit(3)
    lane = die_in_second(bench, bench.pool("other"), jobs, pid=os.getpid())
    bench.lock_of(lane)
    bench.clock.ahead += bench.settings.lease_seconds + 1
    reclaim_other_pools(bench.pool("mine"), may_kill=True)
    assert outcomes(bench) == [None] * 3


def _fail(*_: object) -> None:
    raise RuntimeError("the store failed here")

"""Children that die: what is recorded, who goes with them, who follows, and when it is enough."""

from __future__ import annotations

import os
import signal

import pytest

from orpheus.ipc.process import start_time
from orpheus.ipc.scoreboard import ALIVE, DEAD, Slot
from tests.pool.harness import Pool, StartPool
from tests.support.processes import alive
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes


def test_a_dead_worker_is_recorded_and_replaced(start_pool: StartPool) -> None:
    pool = start_pool(processes=2)
    workers = pool.workers(2)
    began = start_time(workers[0])
    os.kill(workers[0], signal.SIGKILL)
    (settled,) = pool.noted("settled")
    assert (settled["worker"], settled["start_time"]) == (workers[0], began)
    assert os.waitstatus_to_exitcode(settled["status"]) == -signal.SIGKILL
    assert settled["killed_why"] == 0
    eventually(lambda: workers[0] not in pool.workers(2))
    assert workers[1] in pool.workers(2)
    assert pool.stop() == 0


def test_dead_maintenance_is_replaced(start_pool: StartPool) -> None:
    pool = start_pool(processes=1)
    first = pool.maintenance()
    os.kill(first, signal.SIGKILL)
    pool.maintenance(not_=first)
    assert pool.stop() == 0


def test_what_a_job_started_dies_with_its_worker(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, worker="parent")
    (worker,) = pool.workers(1)
    (program,) = pool.noted("programs")
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not alive(program["program"]))
    second = pool.noted("programs", 2)[1]["program"]
    assert alive(second)
    assert pool.stop() == 0
    assert not alive(second)


def test_a_dead_slot_stays_until_it_is_settled(start_pool: StartPool) -> None:
    """Given to the next worker at once, it would say that what was not running crashed."""
    pool = start_pool(processes=1, never_settle=True)
    dead: set[int] = set()
    for _ in range(5):
        (pid,) = pool.workers(1)
        assert pid not in dead
        (slot,) = pool.live_slots()
        slot.armed = pid
        os.kill(pid, signal.SIGKILL)
        dead.add(pid)
        eventually(lambda: len(_dead(pool)) == len(dead))
    kept = _dead(pool)
    assert {slot.pid for slot in kept} == dead
    assert all(slot.armed == slot.pid for slot in kept)


def _dead(pool: Pool) -> list[Slot]:
    return [slot for slot in pool.board().slots if slot.state == DEAD]


def test_without_a_free_slot_the_pool_waits_for_maintenance(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, never_settle=True)
    (worker,) = pool.workers(1)
    for slot in pool.board().slots:
        if slot.state != ALIVE:
            slot.state = DEAD
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: "no free slot" in pool.log())
    pool.board().slots[4].state = 0
    eventually(lambda: pool.board().slots[4].state == ALIVE)
    assert pool.log().count("no free slot") == 1


def test_orphans_end_with_a_master_that_is_killed(start_pool: StartPool) -> None:
    pool = start_pool(processes=2, worker="stubborn")
    children = [*pool.workers(2), pool.maintenance()]
    pool.send(signal.SIGKILL)
    eventually(lambda: not any(alive(pid) for pid in children))


def test_orphans_end_even_if_they_are_stopped(start_pool: StartPool) -> None:
    pool = start_pool(processes=1)
    (worker,) = pool.workers(1)
    os.kill(worker, signal.SIGSTOP)
    pool.send(signal.SIGKILL)
    eventually(lambda: not alive(worker))


def test_a_crash_loop_before_ready_ends_the_pool(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, worker_exit=1)
    assert pool.wait() == 70
    assert len(pool.notes("workers")) == 5
    assert len(pool.notes("maintenance_stopped")) == 1


def test_deaths_after_ready_never_end_it(start_pool: StartPool) -> None:
    pool = start_pool(processes=1)
    gone = {0}
    for _ in range(7):
        eventually(lambda: not gone & set(pool.workers(1)), timeout=15)
        (pid,) = pool.workers(1)
        eventually(lambda: not _waits_for_a_worker(pool.pid))
        os.kill(pid, signal.SIGKILL)
        gone.add(pid)
    assert pool.stop() == 0


def _waits_for_a_worker(master: int) -> bool:
    """Whether it has a ready pipe, besides its wake-up pipe, lifeline and output."""
    pipes = set()
    for name in os.listdir(f"/proc/{master}/fd"):
        try:
            target = os.readlink(f"/proc/{master}/fd/{name}")
        except FileNotFoundError:
            continue
        if target.startswith("pipe:"):
            pipes.add(target)
    return len(pipes) > 3


@pytest.mark.parametrize("code", [75, 78])
@pytest.mark.parametrize("child", ["worker_exit", "maintenance_exit"])
def test_a_child_that_cannot_start_gives_the_pool_its_code(
    start_pool: StartPool, child: str, code: int
) -> None:
    pool = start_pool(processes=1, **{child: code})
    assert pool.wait() == code

"""One master to a pool, and only when nobody of the last run is left."""

from __future__ import annotations

import os
import signal

import pytest

from tests.pool.harness import StartPool
from tests.support.processes import alive
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes


def test_a_second_master_is_refused_and_told_who_runs(start_pool: StartPool) -> None:
    first = start_pool(processes=1)
    first.workers(1)
    second = start_pool(processes=1, speed=10)
    assert second.wait() == 75
    assert f"already runs, as process {first.pid}" in second.log()
    assert len(first.notes("prepared")) == 1


def test_a_second_master_takes_over_when_the_first_ends_in_time(start_pool: StartPool) -> None:
    first = start_pool(processes=1)
    first.workers(1)
    second = start_pool(processes=1)
    assert first.stop() == 0
    second.workers(1)
    assert second.stop() == 0


def test_a_waiting_master_can_be_stopped(start_pool: StartPool) -> None:
    first = start_pool(processes=1)
    first.workers(1)
    second = start_pool(processes=1, speed=1)
    eventually(lambda: _catches(second.pid, signal.SIGTERM))
    assert second.stop() == 0


def test_pools_of_other_names_run_beside_it(start_pool: StartPool) -> None:
    first = start_pool(processes=1)
    first.workers(1)
    second = start_pool(processes=1, pool="other")
    second.workers(1)
    assert second.stop() == 0
    assert first.stop() == 0


def test_children_of_a_killed_master_hold_the_lock_until_they_are_gone(
    start_pool: StartPool,
) -> None:
    first = start_pool(processes=2, worker="stubborn")
    old = [*first.workers(2), first.maintenance()]
    first.send(signal.SIGKILL)
    second = start_pool(processes=2)
    second.workers(2)
    assert not any(alive(pid) for pid in old)
    assert second.stop() == 0


def test_what_a_job_forked_does_not_hold_it(start_pool: StartPool) -> None:
    """A fork that left the worker's group outlives it; it must not lock the pool for ever."""
    first = start_pool(processes=1, worker="forker")
    first.workers(1)
    (note,) = first.noted("programs")
    try:
        first.send(signal.SIGKILL)
        first.wait()
        second = start_pool(processes=1)
        second.workers(1)
        assert alive(note["program"])
        assert second.stop() == 0
    finally:
        os.kill(note["program"], signal.SIGKILL)


def _catches(pid: int, number: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        caught = int(file.read().split("SigCgt:")[1].split()[0], 16)
    return bool(caught >> (number - 1) & 1)

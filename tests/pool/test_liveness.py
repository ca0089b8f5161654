"""Processes that are there but do nothing."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from orpheus.clock import SECOND_NS, SystemClock
from orpheus.ipc.scoreboard import STUCK, Scoreboard
from orpheus.pool import spawn
from orpheus.pool.children import Child, Role
from orpheus.pool.liveness import Liveness
from tests.pool.harness import StartPool
from tests.support.processes import alive, unharmed
from tests.support.waiting import eventually, never
from tests.unit.ipc.children import children, pause

pytestmark = pytest.mark.processes


def test_a_worker_stopped_for_a_lease_is_killed_and_replaced(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, lease=1)
    (worker,) = pool.workers(1)
    began = time.monotonic()
    os.kill(worker, signal.SIGSTOP)
    (settled,) = pool.noted("settled")
    assert 1 <= time.monotonic() - began < 3
    assert (settled["worker"], settled["killed_why"]) == (worker, STUCK)
    eventually(lambda: worker not in pool.workers(1))
    assert pool.stop() == 0


def test_a_worker_that_was_continued_in_time_lives(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, lease=0.5)
    (worker,) = pool.workers(1)
    os.kill(worker, signal.SIGSTOP)
    never(lambda: not alive(worker), during=0.25)
    os.kill(worker, signal.SIGCONT)
    never(lambda: not alive(worker), during=0.6)
    assert pool.stop() == 0


@pytest.mark.parametrize("how", ["stopped", "silent"])
def test_maintenance_that_does_not_beat_is_replaced(start_pool: StartPool, how: str) -> None:
    pool = start_pool(processes=1)
    first = pool.maintenance()
    began = time.monotonic()
    if how == "stopped":
        os.kill(first, signal.SIGSTOP)
    else:
        (pool.folder / "silent").touch()
    eventually(lambda: not alive(first))
    assert 3.5 < time.monotonic() - began < 6.5
    (pool.folder / "silent").unlink(missing_ok=True)
    pool.maintenance(not_=first)
    assert pool.stop() == 0


def test_a_master_that_slept_blames_nobody(tmp_path: Path) -> None:
    board = Scoreboard.create(tmp_path / "main-1-2.board", 1, "main", "boot", 1, 2)
    liveness = Liveness(board, lease=SECOND_NS)
    with children(pause) as (pid,):
        child = Child(Role.MAINTENANCE, pid, 0, since=0)
        board.maintenance_beat = SECOND_NS
        for tenth in range(10, 20):
            liveness.look(tenth * SECOND_NS // 10, [child])
        # An hour later by the clock, but nobody has run meanwhile.
        liveness.look(3600 * SECOND_NS, [child])
        assert unharmed(pid)
        for tenth in range(1, 41):
            liveness.look(3600 * SECOND_NS + tenth * SECOND_NS // 10, [child])
        eventually(lambda: not alive(pid))
    board.close()


def test_the_beat_of_a_predecessor_is_not_its_own(tmp_path: Path) -> None:
    board = Scoreboard.create(tmp_path / "main-1-2.board", 1, "main", "boot", 1, 2)
    liveness = Liveness(board, lease=SECOND_NS)
    board.maintenance_beat = 5 * SECOND_NS
    with children(pause) as (pid,):
        child = Child(Role.MAINTENANCE, pid, 0, since=6 * SECOND_NS)
        for second in range(60, 120):
            liveness.look(second * SECOND_NS // 10, [child])
        assert not child.ready
        assert unharmed(pid)
    board.close()


def test_a_beat_between_the_fork_and_the_masters_next_step_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The master may have to wait for a processor there."""
    beats: list[int] = []

    def fork_and_wait(*_: object, **__: object) -> int:
        beats.append(time.monotonic_ns())
        return os.getpid()

    monkeypatch.setattr(spawn, "fork", fork_and_wait)
    spawner = object.__new__(spawn.Spawner)
    spawner._spec = SimpleNamespace(clock=SystemClock())  # type: ignore[assignment]
    child = spawner._start(Role.MAINTENANCE, lambda: 0, (), ())
    assert child.since <= beats[0]

"""What jobs of an earlier run had started is gone before the next run begins."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus.clock import SystemClock
from orpheus.ipc.process import start_time
from orpheus.ipc.scoreboard import ALIVE, FREE, Scoreboard, board_path
from orpheus.pool.leftovers import kill_leftovers
from orpheus.pool.spec import PoolSpec
from tests.pool.harness import StartPool
from tests.support.processes import alive, end_groups, unharmed
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes


def test_programs_of_a_killed_pool_end_when_it_starts_again(start_pool: StartPool) -> None:
    first = start_pool(processes=2, worker="parent")
    workers = first.workers(2)
    programs = [note["program"] for note in first.noted("programs", 2)]
    first.send(signal.SIGKILL)
    first.wait()
    eventually(lambda: not any(alive(pid) for pid in workers))
    assert all(alive(pid) for pid in programs)
    second = start_pool(processes=1, prepare=3)
    second.wait()
    assert not any(alive(pid) for pid in programs)


@pytest.fixture
def group() -> Iterator[subprocess.Popen[bytes]]:
    """A process group whose leader is no worker of ours."""
    leader = subprocess.Popen(["/bin/sleep", "600"], process_group=0)
    yield leader
    leader.kill()
    leader.wait()


def _spec(folder: Path) -> PoolSpec:
    def none(*_: Any) -> int:
        raise AssertionError

    (folder / "run").mkdir(exist_ok=True)
    return PoolSpec("main", 1, folder / "run", folder, folder / "gate", 1, 1, 1, none, none, none)


def _board(spec: PoolSpec, pid: int, started: int, **changes: Any) -> Scoreboard:
    boot = changes.pop("boot_id", spec.clock.boot_id)
    pool = changes.pop("pool", "main")
    board = Scoreboard.create(board_path(spec.run_dir, pool, 1, 2), 2, pool, boot, 1, 2)
    slot = board.slots[0]
    slot.pid, slot.start_time, slot.state = pid, started, changes.pop("state", ALIVE)
    if "session" in changes:
        board.session = changes["session"]
    return board


@pytest.mark.parametrize(("later", "killed"), [(0, 1), (100, 0)])
def test_the_group_of_a_dead_worker_is_killed(tmp_path: Path, later: int, killed: int) -> None:
    """The leader is gone; a member is still there, and it is not older than the worker was."""
    leader = subprocess.Popen(
        ["/bin/sh", "-c", "sleep 600 & echo $!"], process_group=0, stdout=subprocess.PIPE
    )
    began = start_time(leader.pid) or 0
    assert leader.stdout is not None
    member = int(leader.stdout.readline())
    leader.stdout.close()
    leader.wait()
    spec = _spec(tmp_path)
    _board(spec, leader.pid, began + later).close()
    try:
        assert kill_leftovers(spec) == killed
        assert unharmed(member) if not killed else eventually(lambda: not alive(member))
    finally:
        end_groups([leader.pid])


@pytest.mark.parametrize(
    "changes",
    [
        {"boot_id": "another boot"},
        {"pool": "other"},
        {"state": FREE},
        {"session": 1},
        {"earlier": 1},
        {"later": 1},
    ],
)
def test_other_processes_with_that_number_are_left(
    tmp_path: Path, group: subprocess.Popen[bytes], changes: dict[str, Any]
) -> None:
    """Another boot's, another pool's, a settled worker's, another session's, another leader's."""
    spec = _spec(tmp_path)
    began = (start_time(group.pid) or 0) + changes.pop("later", 0) - changes.pop("earlier", 0)
    _board(spec, group.pid, began, **changes).close()
    assert kill_leftovers(spec) == 0
    assert unharmed(group.pid)


def test_it_would_have_been_killed(tmp_path: Path, group: subprocess.Popen[bytes]) -> None:
    """The control of the test above: all facts match."""
    spec = _spec(tmp_path)
    _board(spec, group.pid, start_time(group.pid) or 0).close()
    assert SystemClock().boot_id == spec.clock.boot_id
    assert os.getsid(group.pid) == os.getsid(0)
    assert kill_leftovers(spec) == 1
    assert group.wait(10) == -signal.SIGKILL

"""A pool from its start to its end, when nothing goes wrong and when it is told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from orpheus.ipc.scoreboard import DRAIN
from tests.pool.harness import StartPool
from tests.support.processes import alive, children_of, threads_of
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes


def test_starts_prepare_then_all_others_and_stops_clean(start_pool: StartPool) -> None:
    pool = start_pool(processes=2)
    workers = pool.workers(2)
    maintenance = pool.maintenance()

    assert len(pool.notes("prepared")) == 1
    assert sorted(children_of(pool.pid)) == sorted([*workers, maintenance])
    assert pool.stop() == 0
    assert not any(alive(pid) for pid in (*workers, maintenance))
    assert len(pool.notes("worker_stopped")) == 2
    assert list((pool.folder / "run").glob("*.board")) == []


def test_maintenance_ends_last_and_has_settled_every_worker(start_pool: StartPool) -> None:
    pool = start_pool(processes=2)
    workers = pool.workers(2)
    assert pool.stop() == 0
    settled = pool.notes("settled")
    assert sorted(note["worker"] for note in settled) == sorted(workers)
    assert len(pool.notes("maintenance_stopped")) == 1


def test_every_child_leads_its_own_group_and_has_no_terminal(start_pool: StartPool) -> None:
    pool = start_pool(processes=1)
    for pid in (*pool.workers(1), pool.maintenance()):
        assert os.getpgid(pid) == pid
        assert os.readlink(f"/proc/{pid}/fd/0") == os.devnull


def test_a_worker_has_only_its_own_pipes(start_pool: StartPool) -> None:
    pool = start_pool(processes=2, worker="idle")
    first, second = pool.workers(2)
    lifeline_writers = [
        pid for pid in (pool.pid, first, second, pool.maintenance()) if _writes_to_lifeline(pid)
    ]
    assert lifeline_writers == [pool.pid]


def _writes_to_lifeline(pid: int) -> bool:
    """Whether `pid` has both a read end and a write end of one pipe, other than the output's."""
    ends: dict[str, set[int]] = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            with open(f"/proc/{pid}/fdinfo/{name}", encoding="ascii") as file:
                flags = int(file.read().split("flags:")[1].split()[0], 8)
        except FileNotFoundError:
            continue  # closed since it was listed
        if target.startswith("pipe:"):
            ends.setdefault(target, set()).add(flags & os.O_ACCMODE)
    return any(modes == {os.O_RDONLY, os.O_WRONLY} for modes in ends.values())


def test_the_master_has_one_thread_and_no_database(start_pool: StartPool) -> None:
    pool = start_pool(processes=1)
    pool.workers(1)
    assert threads_of(pool.pid) == 1
    program = (
        "import sys, orpheus.pool.master; "
        "bad = {'sqlite3', 'aiosqlite', 'orpheus.store', 'orpheus.domain'} & set(sys.modules); "
        "sys.exit(str(sorted(bad)) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


def test_an_idle_pool_hardly_wakes(start_pool: StartPool) -> None:
    pool = start_pool(processes=2)
    pool.workers(2)
    pool.maintenance()
    before, began = _switches(pool.pid), time.monotonic()
    eventually(lambda: time.monotonic() - began > 2)
    assert (_switches(pool.pid) - before) / (time.monotonic() - began) < 15


def _switches(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        return int(file.read().split("\nvoluntary_ctxt_switches:")[1].split()[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_drain_lets_workers_finish(start_pool: StartPool, number: int) -> None:
    pool = start_pool(processes=2)
    pool.workers(2)
    pool.send(number)
    assert pool.wait() == 0
    assert len(pool.notes("worker_stopped")) == 2
    assert [note["killed_why"] for note in pool.notes("settled")] == [0, 0]


def test_the_drain_has_an_end(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, worker="stubborn", drain=0.5)
    (worker,) = pool.workers(1)
    assert pool.stop() == 0
    assert not alive(worker)
    (settled,) = pool.notes("settled")
    assert os.waitstatus_to_exitcode(settled["status"]) == -signal.SIGKILL
    assert (settled["killed_for"], settled["killed_why"]) == (7, DRAIN)
    assert len(pool.notes("maintenance_stopped")) == 1


@pytest.mark.parametrize("numbers", [[signal.SIGTERM, signal.SIGTERM], [signal.SIGQUIT]])
def test_a_second_signal_ends_at_once(start_pool: StartPool, numbers: list[int]) -> None:
    pool = start_pool(processes=2, worker="stubborn", drain=600)
    workers = pool.workers(2)
    maintenance = pool.maintenance()
    pool.send(numbers[0])
    for number in numbers[1:]:
        # Two of a kind that arrive together are one to the system.
        eventually(lambda: pool.board().draining)
        pool.send(number)
    assert pool.wait(timeout=5) == 0
    assert not any(alive(pid) for pid in (*workers, maintenance))
    # Nobody was left to settle them: the board stays for the next run.
    assert len(list((pool.folder / "run").glob("*.board"))) == 1


def test_maintenance_is_replaced_even_in_the_drain(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, worker="stubborn", drain=3)
    pool.workers(1)
    first = pool.maintenance()
    pool.send(signal.SIGTERM)
    eventually(lambda: pool.board().draining)
    os.kill(first, signal.SIGKILL)
    pool.maintenance(not_=first)
    assert pool.wait() == 0
    assert len(pool.notes("settled")) == 1


def test_a_stop_while_prepare_runs(start_pool: StartPool) -> None:
    pool = start_pool(prepare="hang", drain=0.3)
    (note,) = pool.noted("prepared")
    assert pool.stop() == 0
    assert not alive(note["pid"])
    assert pool.notes("workers") == []


@pytest.mark.parametrize("code", [75, 78, 3])
def test_the_code_of_prepare_is_the_code_of_the_pool(start_pool: StartPool, code: int) -> None:
    pool = start_pool(prepare=code)
    assert pool.wait() == code
    assert pool.notes("workers") == []

"""A process stopped inside the write gate: found, and ended if that is ours to do."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orpheus.clock import SECOND_NS
from orpheus.ipc.locks import CLIENT, ORPHEUS, Turnstile, is_free, read_record
from orpheus.ipc.process import start_time
from orpheus.pool.children import Child, Role
from orpheus.pool.watchdog import INTERVAL, GateWatchdog
from tests.pool.harness import StartPool
from tests.support.processes import alive, stopped, unharmed
from tests.support.waiting import eventually
from tests.unit.ipc.children import children

pytestmark = pytest.mark.processes


def test_a_child_stopped_in_the_gate_is_killed_and_the_gate_is_free(
    start_pool: StartPool,
) -> None:
    pool = start_pool(processes=1, lease=600)
    first = pool.maintenance()
    (pool.folder / "hold_gate").touch()
    pool.noted("holds_gate")
    pool.maintenance(not_=first)
    assert is_free(pool.folder / "gate")
    assert "stuck in the write gate" in pool.log()
    assert pool.stop() == 0


# --- the watchdog alone, with the time in the test's hand -----------------------------------------


@contextmanager
def _holder(folder: Path, kind: int) -> Iterator[int]:
    """A process stopped inside the gate."""

    def main() -> int:
        Turnstile(folder / "turn", folder / "gate", kind).acquire()
        os.kill(os.getpid(), signal.SIGSTOP)
        signal.pause()
        return 0

    with children(main) as (pid,):
        eventually(lambda: stopped(pid))
        yield pid


def _look(watchdog: GateWatchdog, seconds: float, own: dict[int, Child] | None = None) -> None:
    """So much time passes, in looks as often as the master's loop would."""
    steps = round(seconds * SECOND_NS / INTERVAL)
    for _ in range(steps + 1):
        watchdog.look(_look.now, own or {})  # type: ignore[attr-defined]
        _look.now += INTERVAL  # type: ignore[attr-defined]


_look.now = 10**12  # type: ignore[attr-defined]


def _ended(pid: int) -> bool:
    return not alive(pid)


def test_another_process_of_ours_is_killed_after_ten_seconds(tmp_path: Path) -> None:
    watchdog = GateWatchdog(tmp_path / "gate")
    with _holder(tmp_path, ORPHEUS) as pid:
        _look(watchdog, 9.5)
        assert unharmed(pid)
        _look(watchdog, 1)
        eventually(lambda: _ended(pid))
    assert is_free(tmp_path / "gate")


def test_a_client_is_only_reported(tmp_path: Path) -> None:
    watchdog = GateWatchdog(tmp_path / "gate")
    with _holder(tmp_path, CLIENT) as pid:
        _look(watchdog, 60)
        assert unharmed(pid)


def test_an_own_child_is_killed_after_two_seconds(tmp_path: Path) -> None:
    watchdog = GateWatchdog(tmp_path / "gate")
    with _holder(tmp_path, ORPHEUS) as pid:
        child = Child(Role.MAINTENANCE, pid, start_time(pid) or 0, 0)
        _look(watchdog, 1.5, {pid: child})
        assert unharmed(pid)
        _look(watchdog, 0.75, {pid: child})
        eventually(lambda: _ended(pid))


def test_prepare_may_migrate_for_long(tmp_path: Path) -> None:
    watchdog = GateWatchdog(tmp_path / "gate")
    with _holder(tmp_path, ORPHEUS) as pid:
        child = Child(Role.PREPARE, pid, start_time(pid) or 0, 0)
        _look(watchdog, 60, {pid: child})
        assert unharmed(pid)


def test_a_process_that_has_the_number_of_the_holder_is_left(tmp_path: Path) -> None:
    watchdog = GateWatchdog(tmp_path / "gate")
    with _holder(tmp_path, ORPHEUS) as pid:
        record = read_record(tmp_path / "gate")
        assert record is not None
        with (tmp_path / "gate").open("r+b") as file:
            file.seek(8)
            file.write((record.start_time - 1).to_bytes(8, "little"))
        _look(watchdog, 60)
        assert unharmed(pid)


def test_a_record_without_a_lock_condemns_nobody(tmp_path: Path) -> None:
    """What a holder that died inside left is no proof that anyone is inside."""
    watchdog = GateWatchdog(tmp_path / "gate")
    with _holder(tmp_path, ORPHEUS) as pid:
        record = (tmp_path / "gate").read_bytes()
        (tmp_path / "gate").unlink()
        (tmp_path / "gate").write_bytes(record)
        _look(watchdog, 60)
        assert unharmed(pid)


def test_a_busy_gate_is_no_stuck_one(tmp_path: Path) -> None:
    watchdog = GateWatchdog(tmp_path / "gate")
    gate = Turnstile(tmp_path / "turn", tmp_path / "gate")
    own = {os.getpid(): Child(Role.WORKER, os.getpid(), start_time(os.getpid()) or 0, 0)}
    for _ in range(20):
        gate.acquire()
        _look(watchdog, 1, own)
        gate.release()
    gate.close()


def test_time_that_passed_without_looks_does_not_count(tmp_path: Path) -> None:
    """The machine slept, or the master did: the holder had no chance to go on."""
    watchdog = GateWatchdog(tmp_path / "gate")
    with _holder(tmp_path, ORPHEUS) as pid:
        child = Child(Role.MAINTENANCE, pid, start_time(pid) or 0, 0)
        for now in (10**12, 10**12 + 3600 * SECOND_NS):
            watchdog.look(now, {pid: child})
        assert unharmed(pid)

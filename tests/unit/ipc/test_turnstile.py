"""The gate: exclusive, fair, bounded where asked, and honest about who is inside."""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from orpheus.errors import StoreFailed
from orpheus.ipc.locks import CLIENT, GateRecord, Turnstile, is_free, read_record
from orpheus.ipc.process import start_time
from tests.support.processes import alive
from tests.support.waiting import eventually
from tests.unit.ipc.children import children, exit_code, pause

_WRITERS = 9


class PlainFlock:
    """The simpler form the gate must not be."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT)

    def acquire(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)

    def release(self) -> None:
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)


def test_the_gate_is_fair_where_a_plain_lock_is_not(tmp_path: Path) -> None:
    """Nine writers that come back at once: whoever leaves lets the one who waits go first."""

    def gate() -> Turnstile:
        return Turnstile(tmp_path / "turn", tmp_path / "gate")

    assert _share_of_returns(gate) < 0.02
    assert _share_of_returns(lambda: PlainFlock(tmp_path / "plain")) > 0.2


def _share_of_returns(make: Callable[[], Turnstile | PlainFlock]) -> float:
    """How often the gate goes to the one who has just left it, while eight others wait."""
    shared = mmap.mmap(-1, 16384)
    words = memoryview(shared).cast("q")
    rounds = 1000

    def writer(index: int) -> Callable[[], int]:
        def main() -> int:
            gate = make()
            while True:
                gate.acquire()
                entered = words[0] = words[0] + 1
                if entered > rounds:
                    return 0
                words[entered] = index
                # As while a disk syncs: the processor is free for those who wait.
                time.sleep(0.0005)
                gate.release()

        return main

    with children(*(writer(index) for index in range(_WRITERS))) as pids:
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
    # Not the first of them, when not everyone has arrived.
    holders = words[100 : rounds + 1].tolist()
    return sum(a == b for a, b in pairwise(holders)) / len(holders)


def test_one_at_a_time(tmp_path: Path) -> None:
    shared = mmap.mmap(-1, 4096)
    words = memoryview(shared).cast("q")
    rounds = 300

    def main() -> int:
        gate = Turnstile(tmp_path / "turn", tmp_path / "gate")
        for number in range(rounds):
            gate.acquire()
            seen = words[0]
            if number % 10 == 0:
                # Time for somebody else to come in, if anybody can.
                time.sleep(0.0005)
            words[0] = seen + 1
            gate.release()
        return 0

    with children(*[main] * 4) as pids:
        for pid in pids:
            assert os.waitpid(pid, 0)[1] == 0
    assert words[0] == 4 * rounds


def test_the_record_says_who_is_inside(tmp_path: Path) -> None:
    path = tmp_path / "gate"
    gate = Turnstile(tmp_path / "turn", path, kind=CLIENT)
    assert read_record(path) is None
    before = time.monotonic_ns()
    gate.acquire()
    record = read_record(path)
    assert record is not None
    expected = GateRecord(os.getpid(), start_time(os.getpid()) or 0, record.entered, CLIENT)
    assert record == expected
    assert before <= record.entered <= time.monotonic_ns()
    gate.release()
    assert read_record(path) is None
    gate.close()


def test_a_holder_that_is_killed_frees_the_gate(tmp_path: Path) -> None:
    path = tmp_path / "gate"

    def holder() -> int:
        Turnstile(tmp_path / "turn", path).acquire()
        os.kill(os.getpid(), signal.SIGSTOP)
        return pause()

    gate = Turnstile(tmp_path / "turn", path)
    with children(holder) as (pid,):
        eventually(lambda: (r := read_record(path)) is not None and r.pid == pid)
        assert not is_free(path)
        os.kill(pid, signal.SIGKILL)
        assert gate.acquire()
    record = read_record(path)
    assert record is not None
    assert record.pid == os.getpid()
    gate.release()
    gate.close()


def test_an_inherited_gate_is_opened_anew(tmp_path: Path) -> None:
    """The parent's descriptors would let both in at once."""
    gate = Turnstile(tmp_path / "turn", tmp_path / "gate")
    gate.acquire()
    assert exit_code(lambda: gate.acquire(timeout=0.05)) == 0
    gate.release()
    assert exit_code(lambda: gate.acquire(timeout=5)) == 1
    gate.close()


def test_a_timeout_gives_up_and_holds_nothing(tmp_path: Path) -> None:
    turn, path = tmp_path / "turn", tmp_path / "gate"
    gate = Turnstile(turn, path)
    gate.acquire()

    def main() -> int:
        waiting = Turnstile(turn, path)
        began = time.monotonic()
        for seconds in (0.0, 0.1):
            if waiting.acquire(timeout=seconds):
                return 1
        took = time.monotonic() - began
        alarm_is_off = signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
        restored = signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
        # The turn must be free for others while this process goes on living.
        return 0 if 0.1 <= took < 3 and alarm_is_off and restored and is_free(turn) else 2

    assert exit_code(main) == 0
    gate.release()
    gate.close()


def test_timeouts_at_any_moment_leave_the_gate_whole(tmp_path: Path) -> None:
    """The alarm rings before, between and after the two locks; nobody may stay inside."""
    turn, path = tmp_path / "turn", tmp_path / "gate"

    def main() -> int:
        gate = Turnstile(turn, path)
        entered = 0
        for attempt in range(300):
            if gate.acquire(timeout=0.001 + attempt % 10 * 0.0002):
                entered += 1
                gate.release()
        return 0 if entered else 1

    def slow() -> int:
        gate = Turnstile(turn, path)
        while True:
            gate.acquire()
            time.sleep(0.001)
            gate.release()

    with children(main, main, slow) as pids:
        for pid in pids[:2]:
            assert os.waitpid(pid, 0)[1] == 0
    assert is_free(path)
    assert is_free(turn)


def test_a_removed_gate_file_is_a_failed_store(tmp_path: Path) -> None:
    path = tmp_path / "gate"
    gate = Turnstile(tmp_path / "turn", path)
    gate.acquire()
    gate.release()
    path.unlink()
    with pytest.raises(StoreFailed, match="removed"):
        gate.acquire()
    # Opened again, it is the new file.
    assert gate.acquire()
    gate.release()
    gate.close()


def test_a_jobs_fork_does_not_keep_the_gate(tmp_path: Path) -> None:
    reader, writer = os.pipe()

    def worker() -> int:
        gate = Turnstile(tmp_path / "turn", tmp_path / "gate")
        gate.acquire()
        pid = os.fork()
        if pid == 0:
            os.setpgid(0, 0)
            pause()
        os.write(writer, b"%d" % pid)
        return 0

    assert exit_code(worker) == 0
    stray = int(os.read(reader, 20))
    try:
        eventually(lambda: is_free(tmp_path / "gate"))
        assert alive(stray)
    finally:
        os.kill(stray, signal.SIGKILL)
        os.close(reader)
        os.close(writer)

"""Stopping one attempt: asked first, then killed, and never a later one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from orpheus.ipc.process import fork
from orpheus.ipc.scoreboard import CANCELLED, TIMED_OUT, Scoreboard, Slot
from orpheus.pool.children import ANSWER_NS, Child, Role
from orpheus.pool.deadlines import enforce
from tests.pool.harness import StartPool
from tests.support.processes import alive, stopped
from tests.support.waiting import eventually, never
from tests.unit.ipc.children import pause

pytestmark = pytest.mark.processes


# --- a whole pool ---------------------------------------------------------------------------------


def test_an_overdue_attempt_is_asked_each_second_then_killed(start_pool: StartPool) -> None:
    pool = start_pool(processes=2, worker="overdue", grace=2.5)
    pool.workers(2)
    began = time.monotonic()
    settled = pool.noted("settled", 2)
    assert 2.5 <= time.monotonic() - began < 2.5 + 1.5
    for note in settled:
        assert os.waitstatus_to_exitcode(note["status"]) == -signal.SIGKILL
        assert (note["killed_for"], note["killed_why"], note["armed"]) == (5, TIMED_OUT, 5)
        asked = [n for n in pool.notes("soft_stops") if n["pid"] == note["worker"]]
        assert len(asked) == 3
        assert {n["timeout"] for n in asked} == {5}
        assert all(0.8 < b["at"] - a["at"] < 1.5 for a, b in pairwise(asked))


def test_an_attempt_that_ends_when_asked_is_not_killed(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, worker="polite", grace=0.5)
    (worker,) = pool.workers(1)
    asked = pool.noted("soft_stops", 10)
    assert all(note["timeout"] == note["attempt"] for note in asked)
    assert pool.workers(1) == [worker]
    assert pool.stop() == 0


def test_a_cancelled_attempt_is_asked_each_second_and_killed_after_the_grace(
    start_pool: StartPool,
) -> None:
    pool = start_pool(processes=1, worker="cancelled", grace=2.5)
    (worker,) = pool.workers(1)
    (slot,) = pool.live_slots()
    slot.cancel = 8
    never(lambda: pool.notes("soft_stops"), during=0.3)
    slot.cancel = 9
    asked = pool.noted("soft_stops", 3)
    assert all(0.8 < b["at"] - a["at"] < 1.5 for a, b in pairwise(asked))
    assert slot.timeout == 0
    (settled,) = pool.noted("settled")
    assert settled["worker"] == worker
    assert (settled["killed_for"], settled["killed_why"]) == (9, CANCELLED)
    assert pool.stop() == 0


def test_a_stopped_worker_with_an_overdue_attempt_is_killed_for_it(start_pool: StartPool) -> None:
    pool = start_pool(processes=1, worker="overdue", grace=0.5, lease=600)
    (worker,) = pool.workers(1)
    os.kill(worker, signal.SIGSTOP)
    (settled,) = pool.noted("settled")
    assert (settled["killed_for"], settled["killed_why"]) == (5, TIMED_OUT)


# --- one worker, step by step ---------------------------------------------------------------------


@contextmanager
def _worker(folder: Path, run: Callable[[Slot], int]) -> Iterator[tuple[Child, Slot]]:
    """A worker in a slot, as the master's loop sees it."""
    board = Scoreboard.create(folder / "main-1-2.board", 1, "main", "boot", 1, 2)
    slot = board.slots[0]
    pid = fork(lambda: run(slot))
    child = Child(Role.WORKER, pid, 0, 0, slot=slot)
    try:
        yield child, slot
    finally:
        os.kill(pid, signal.SIGKILL)
        child.reap()
        board.close()


def _quick_attempts(slot: Slot) -> int:
    """Attempts of up to some 20 µs, each of them overdue as it begins."""
    attempt = 0
    slot.deadline_mono = 1
    while True:
        attempt += 1
        slot.armed = attempt
        for _ in range(attempt % 400):
            pass
        slot.armed = 0


def test_a_forced_kill_never_hits_a_later_attempt(tmp_path: Path) -> None:
    killed = spared = 0
    # Rare enough on a quiet machine: the attempt is over when its worker has stopped.
    while killed < 30 or (spared == 0 and killed < 600):
        with _worker(tmp_path, _quick_attempts) as (child, slot):
            while not child.look(time.monotonic_ns()):
                before = child.sentence
                enforce(child, time.monotonic_ns(), grace=0)
                spared += before is not None and child.sentence is None and slot.killed_for == 0
            assert slot.killed_why == TIMED_OUT
            assert slot.armed == slot.killed_for != 0
            killed += 1
    assert spared > 0


def test_looking_and_then_killing_hits_later_attempts(tmp_path: Path) -> None:
    """The simpler form, which shows what the test above would see."""
    wrong = 0
    for _ in range(300):
        with _worker(tmp_path, _quick_attempts) as (child, slot):
            while not (attempt := slot.armed):
                pass
            child.send(signal.SIGKILL)
            while not child.look(time.monotonic_ns()):
                pass
            wrong += slot.armed != attempt
        if wrong:
            break
    assert wrong > 0


def test_a_worker_whose_attempt_ended_in_time_goes_on(tmp_path: Path) -> None:
    with _worker(tmp_path, lambda _slot: pause()) as (child, slot):
        slot.deadline_mono = 1
        slot.armed = 5
        enforce(child, time.monotonic_ns(), grace=0)
        assert slot.timeout == 5
        # It may say where it is before it is stopped.
        enforce(child, time.monotonic_ns(), grace=0)
        eventually(lambda: stopped(child.pid))
        # It finished attempt 5 and had begun the next one just before it stopped.
        slot.armed = 6
        slot.deadline_mono = 0
        assert not child.look(time.monotonic_ns())
        enforce(child, time.monotonic_ns(), grace=0)
        eventually(lambda: not stopped(child.pid))
        assert alive(child.pid)
        assert slot.killed_for == slot.killed_why == 0


@contextmanager
def _asked_where(folder: Path) -> Iterator[tuple[Child, Slot, int]]:
    """A worker whose attempt 5 is to be ended by force, and when that began."""
    with _worker(folder, lambda _slot: pause()) as (child, slot):
        child.stack_fd = os.memfd_create("stack")
        slot.deadline_mono = 1
        slot.armed = 5
        now = time.monotonic_ns()
        enforce(child, now, grace=0)
        yield child, slot, now


def test_it_is_not_stopped_before_it_has_said_where_it_is(tmp_path: Path) -> None:
    """A processor comes late on a busy machine, and a stop is obeyed before the question."""
    with _asked_where(tmp_path) as (child, _, now):
        assert child.sentence is not None
        enforce(child, now + ANSWER_NS // 2, grace=0)
        assert not child.sentence.stopping
        os.write(child.stack_fd, b"line 7 in somewhere\n")
        enforce(child, now + ANSWER_NS // 2, grace=0)
        assert child.sentence.stopping
        assert child.stack() == "line 7 in somewhere"


def test_and_one_that_never_says_is_stopped_all_the_same(tmp_path: Path) -> None:
    with _asked_where(tmp_path) as (child, slot, now):
        enforce(child, now + ANSWER_NS, grace=0)
        eventually(lambda: child.look(time.monotonic_ns()) or child.stopped_since)
        enforce(child, now + ANSWER_NS, grace=0)
        assert slot.killed_for == 5


def test_it_is_killed_once(tmp_path: Path) -> None:
    """Dying takes a while on a busy machine; its attempt stays overdue meanwhile."""
    with _worker(tmp_path, lambda _slot: pause()) as (child, slot):
        slot.deadline_mono = 1
        slot.armed = 5
        child.kill(TIMED_OUT, 5)
        enforce(child, time.monotonic_ns(), grace=0)
        assert child.sentence is None
        assert slot.timeout == 0


def test_no_verdict_before_the_stop_is_reported(tmp_path: Path) -> None:
    with _worker(tmp_path, lambda _slot: pause()) as (child, slot):
        slot.deadline_mono = 1
        slot.armed = 5
        enforce(child, time.monotonic_ns(), grace=0)
        for _ in range(3):
            # The loop goes round, but the report has not been taken in.
            enforce(child, time.monotonic_ns(), grace=0)
        assert slot.killed_for == 0
        eventually(lambda: child.look(time.monotonic_ns()) or child.stopped_since)
        enforce(child, time.monotonic_ns(), grace=0)
        eventually(lambda: child.look(time.monotonic_ns()))
        assert slot.killed_for == 5


def test_an_attempt_without_a_deadline_runs_on(tmp_path: Path) -> None:
    with _worker(tmp_path, lambda _slot: pause()) as (child, slot):
        slot.armed = 5
        enforce(child, time.monotonic_ns(), grace=0)
        assert slot.timeout == 0
        assert child.soft_stopped == 0


def test_words_of_two_attempts_are_not_mixed(tmp_path: Path) -> None:
    """The deadline of an attempt that ended, read while the next one begins."""

    with _worker(tmp_path, lambda _slot: pause()) as (child, slot):

        class Moving:
            """Looks like the slot; the attempt changes when the deadline is read."""

            armed = 5
            cancel = 0
            timeout = 0

            @property
            def deadline_mono(self) -> int:
                self.armed = 6
                return 1

        moving = Moving()
        child.slot = moving  # type: ignore[assignment]
        enforce(child, time.monotonic_ns(), grace=0)
        assert moving.timeout == 0
        child.slot = slot

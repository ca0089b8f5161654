"""Doorbells ring if someone listens, and never hurt the one who rings."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.clock import SECOND_US
from orpheus.ipc.doorbell import (
    Doorbell,
    Ringer,
    Sleeper,
    feed_bell,
    jobs_bell,
    maintenance_bell,
    remove_silent,
    ring,
    ring_all,
    worker_bell,
)
from tests.support.clock import FakeClock
from tests.support.waiting import eventually
from tests.unit.ipc.children import exit_code


@pytest.fixture
def bells(tmp_path: Path) -> Path:
    # Far longer than a socket's path may be.
    folder = tmp_path / ("long " * 40) / "bells"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def bell(bells: Path) -> Iterator[Doorbell]:
    bell = Doorbell(bells / "work-main-0.fifo")
    yield bell
    bell.close()


def _rung(bell: Doorbell) -> bool:
    return bool(select.select([bell], [], [], 0)[0])


def test_a_ring_is_heard_once(bell: Doorbell) -> None:
    assert not _rung(bell)
    ring(bell.path)
    ring(bell.path)
    assert _rung(bell)
    assert bell.drain()
    assert not _rung(bell)
    assert not bell.drain()


def test_ringing_never_blocks_however_full_it_is(bell: Doorbell) -> None:
    fill = os.open(bell.path, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while os.write(fill, bytes(4096)):
            pass
    except BlockingIOError:
        pass
    os.close(fill)
    ring(bell.path)
    assert bell.drain()
    assert not bell.drain()


def test_ringing_where_nobody_listens(bells: Path) -> None:
    path = bells / "gone.fifo"
    ring(path)
    os.mkfifo(path)
    ring(path)
    ring_all(bells)
    ring_all(bells / "none")


def test_ring_all_rings_those_of_the_prefix(bells: Path, bell: Doorbell) -> None:
    other = Doorbell(bells / "feed-1.fifo")
    ring_all(bells, "work-main-")
    assert _rung(bell)
    assert not _rung(other)
    other.close()


def test_the_bell_of_a_listener_that_was_killed_is_taken_over(bells: Path) -> None:
    path = bells / "maint-main.fifo"

    def listener() -> int:
        Doorbell(path)
        os.kill(os.getpid(), 9)
        return 0

    assert exit_code(listener) == -9
    assert path.exists()
    bell = Doorbell(path)
    ring(path)
    assert bell.drain()
    bell.close()
    assert not path.exists()


def test_a_file_in_the_place_of_a_bell_is_refused(bells: Path) -> None:
    path = bells / "maint-main.fifo"
    path.touch()
    with pytest.raises(FileExistsError):
        Doorbell(path)


def test_silent_bells_are_removed(bells: Path, bell: Doorbell) -> None:
    os.mkfifo(bells / "work-main-7.fifo")
    os.mkfifo(bells / "feed-7.fifo")
    remove_silent(bells, "work-")
    assert sorted(path.name for path in bells.iterdir()) == ["feed-7.fifo", "work-main-0.fifo"]


def test_names(tmp_path: Path) -> None:
    assert worker_bell(tmp_path, "main", 3) == tmp_path / "bells" / "work-main-3.fifo"
    assert maintenance_bell(tmp_path, "main") == tmp_path / "bells" / "maint-main.fifo"
    assert feed_bell(tmp_path, 5) == tmp_path / "bells" / "feed-5.fifo"
    assert jobs_bell(tmp_path) == tmp_path / "bells" / "jobs.fifo"


def test_a_shared_bell_stays_when_one_of_its_listeners_leaves(bells: Path) -> None:
    one, other = (Doorbell(bells / "jobs.fifo", shared=True) for _ in range(2))
    one.close()
    ring(bells / "jobs.fifo")
    assert other.drain()
    other.close()


class TestSleeper:
    @pytest.fixture
    def shared(self, bells: Path) -> Iterator[Doorbell]:
        bell = Doorbell(bells / "jobs.fifo", shared=True)
        yield bell
        bell.close()

    @pytest.mark.skipif(sys.platform != "linux", reason="EPOLLEXCLUSIVE is Linux's")
    def test_a_ring_of_a_shared_bell_wakes_one_of_those_who_sleep(
        self, bell: Doorbell, shared: Doorbell
    ) -> None:
        heard: list[list[int]] = []
        ids: list[int] = []

        def sleep() -> None:
            sleeper = Sleeper([bell.fileno()], [shared.fileno()])
            ids.append(threading.get_native_id())
            heard.append(sleeper.wait(1.0))
            sleeper.close()

        threads = [threading.Thread(target=sleep) for _ in range(5)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(ids) == 5 and all(_waits_in_epoll(one) for one in ids))
        ring(shared.path)
        for thread in threads:
            thread.join()
        assert sorted(heard) == [[], [], [], [], [shared.fileno()]]

    def test_its_own_bell_and_a_closed_pipe_wake_it(self, bell: Doorbell, shared: Doorbell) -> None:
        reading, writing = os.pipe()
        sleeper = Sleeper([bell.fileno(), reading], [shared.fileno()])
        assert sleeper.wait(0) == []
        ring(bell.path)
        assert sleeper.wait(10) == [bell.fileno()]
        bell.drain()
        os.close(writing)
        assert sleeper.wait(10) == [reading]
        os.close(reading)
        sleeper.close()

    def test_where_there_is_no_epoll_it_still_wakes(
        self, bell: Doorbell, shared: Doorbell, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(select, "epoll", raising=False)
        sleeper = Sleeper([bell.fileno()], [shared.fileno()])
        ring(shared.path)
        assert sleeper.wait(10) == [shared.fileno()]
        sleeper.close()


def _waits_in_epoll(thread: int) -> bool:
    """The first word is the number of the system call: epoll_wait or epoll_pwait."""
    number = Path(f"/proc/self/task/{thread}/syscall").read_text().split()[0]
    return number in ("232", "281", "22")


class TestRinger:
    @pytest.fixture
    def ringer(self, bells: Path, clock: FakeClock) -> Iterator[Ringer]:
        # Late enough for the folder's time stamp to be trusted.
        clock.jump(bells.stat().st_mtime + 60 - clock.now() / SECOND_US)
        ringer = Ringer(bells, clock)
        yield ringer
        ringer.close()

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    def test_rings_those_of_the_prefix_again_and_again(
        self, ringer: Ringer, bell: Doorbell, bells: Path
    ) -> None:
        other = Doorbell(bells / "feed-1.fifo")
        for _ in range(3):
            ringer.ring("work-")
            assert bell.drain()
            assert not other.drain()
        other.close()

    def test_notices_who_comes_and_goes(self, ringer: Ringer, bell: Doorbell, bells: Path) -> None:
        ringer.ring("work-")
        later = Doorbell(bells / "work-main-1.fifo")
        ringer.ring("work-")
        assert later.drain()
        later.close()
        ringer.ring("work-")
        again = Doorbell(bells / "work-main-1.fifo")
        ringer.ring("work-")
        assert again.drain()
        again.close()

    def test_a_change_in_the_same_tick_is_not_missed(
        self, bells: Path, bell: Doorbell, clock: FakeClock
    ) -> None:
        """Two changes within one step of the kernel's clock leave the same time stamp."""
        stamp = bells.stat().st_mtime_ns
        clock.jump((stamp // 1000 + 1 - clock.now()) / SECOND_US)
        ringer = Ringer(bells, clock)
        ringer.ring("work-")
        later = Doorbell(bells / "work-main-1.fifo")
        os.utime(bells, ns=(stamp, stamp))
        ringer.ring("work-")
        assert later.drain()
        later.close()
        ringer.close()

    def test_a_pipe_left_behind_is_rung_once_it_has_a_listener(
        self, ringer: Ringer, bells: Path
    ) -> None:
        path = bells / "maint-main.fifo"
        os.mkfifo(path)
        ringer.ring("maint-")
        bell = Doorbell(path)
        ringer.ring("maint-")
        assert bell.drain()
        bell.close()

    def test_nobody_and_no_folder_are_no_error(self, clock: FakeClock, tmp_path: Path) -> None:
        Ringer(tmp_path / "none", clock).ring("work-")

    def test_never_blocks_however_full_it_is(self, ringer: Ringer, bell: Doorbell) -> None:
        for _ in range((1 << 16) + 10):
            ringer.ring("work-")
        assert bell.drain()

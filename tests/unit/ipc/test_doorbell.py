"""Doorbells ring if someone listens, and never hurt the one who rings."""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.ipc.doorbell import (
    Doorbell,
    feed_bell,
    maintenance_bell,
    remove_silent,
    ring,
    ring_all,
    worker_bell,
)
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

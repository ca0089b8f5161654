"""The mapped file: what it holds, who can see it when, and that nothing is ever half written."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.ipc import scoreboard
from orpheus.ipc.scoreboard import ALIVE, DEAD, FREE, Scoreboard, Slot, board_path, boards_of
from tests.unit.ipc.children import children, exit_code


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Scoreboard]:
    board = Scoreboard.create(tmp_path / "main-1-2.board", 3, "main", "boot/time:[1]", 1, 2)
    yield board
    board.close()


def test_the_header_survives(board: Scoreboard) -> None:
    board.draining = 1
    board.maintenance_beat = 5
    again = Scoreboard.open(board.path)
    assert (again.pool, again.boot_id) == ("main", "boot/time:[1]")
    assert (again.master_pid, again.master_start_time, again.session) == (1, 2, os.getsid(0))
    assert (again.draining, again.maintenance_beat, len(again.slots)) == (1, 5, 3)
    again.close()


def test_each_word_is_its_own() -> None:
    for owner in (Slot, Scoreboard):
        words = [v for v in vars(owner).values() if isinstance(v, scoreboard._Word)]
        indexes = [word._index for word in words]
        assert sorted(indexes) == list(range(len(words))), owner


def test_slots_are_apart_and_shared(board: Scoreboard) -> None:
    def child() -> int:
        mine = Scoreboard.open(board.path).slots[1]
        mine.token = 2**62
        mine.data[:] = b"x" * len(mine.data)
        mine.state = ALIVE
        return 0

    assert exit_code(child) == 0
    assert [slot.state for slot in board.slots] == [FREE, ALIVE, FREE]
    assert [slot.token for slot in board.slots] == [0, 2**62, 0]
    assert bytes(board.slots[2].words) == bytes(len(bytes(board.slots[2].words)))


def test_reset_forgets_the_last_life(board: Scoreboard) -> None:
    slot = board.slots[0]
    for name, word in vars(Slot).items():
        if isinstance(word, scoreboard._Word):
            setattr(slot, name, 9)
    slot.reset()
    assert not any(slot.words)
    assert slot.state == FREE


def test_the_board_of_a_process_that_was_killed_can_be_read(board: Scoreboard) -> None:
    def child() -> int:
        slot = Scoreboard.open(board.path).slots[0]
        slot.pid, slot.armed = os.getpid(), 77
        os.kill(os.getpid(), 9)
        return 0

    assert exit_code(child) == -9
    later = Scoreboard.open(board.path)
    assert later.slots[0].armed == 77
    later.close()


def test_words_are_never_torn(board: Scoreboard) -> None:
    low, high = 0x1111111111111111, 0x7777777777777777

    def writer() -> int:
        slot = Scoreboard.open(board.path).slots[0]
        while True:
            slot.token = low
            slot.token = high

    slot = board.slots[0]
    slot.token = low
    with children(writer):
        end = time.monotonic() + 0.3
        seen = set()
        while time.monotonic() < end:
            seen.add(slot.token)
    assert seen <= {low, high}


def test_what_is_no_board_is_refused(tmp_path: Path, board: Scoreboard) -> None:
    path = tmp_path / "main-9-9.board"
    for content in (b"", b"short", bytes(8192)):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="no scoreboard"):
            Scoreboard.open(path)
    path.write_bytes(board.path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="no scoreboard"):
        Scoreboard.open(path)
    assert boards_of(tmp_path, "main") == [board.path]


def test_boards_are_found_by_the_pool_they_name(tmp_path: Path, board: Scoreboard) -> None:
    """The file names alone could not tell `a` and `a-1` apart."""
    other = Scoreboard.create(board_path(tmp_path, "main-1", 7, 8), 1, "main-1", "boot", 7, 8)
    other.slots[0].state = DEAD
    assert boards_of(tmp_path, "main") == [board.path]
    assert boards_of(tmp_path, "main-1") == [other.path]
    assert boards_of(tmp_path / "none", "main") == []
    other.close()


def test_only_its_owner_can_read_it(board: Scoreboard) -> None:
    assert board.path.stat().st_mode & 0o777 == 0o600

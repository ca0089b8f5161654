"""The outbox: whole entries or none, whoever dies or clears meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus.ipc.outbox import Outbox
from orpheus.ipc.scoreboard import OUTBOX_SIZE, Scoreboard, Slot
from tests.unit.ipc.children import children, exit_code


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Scoreboard]:
    board = Scoreboard.create(tmp_path / "main-1-2.board", 1, "main", "boot", 1, 2)
    yield board
    board.close()


@pytest.fixture
def slot(board: Scoreboard) -> Slot:
    return board.slots[0]


def test_entries_come_out_in_order(slot: Slot) -> None:
    outbox = Outbox(slot)
    assert outbox.entries() == []
    assert len(outbox) == outbox.oldest == 0
    before = time.monotonic_ns()
    assert outbox.append(b"one")
    oldest = outbox.oldest
    assert before <= oldest <= time.monotonic_ns()
    assert outbox.append(b"")
    assert outbox.append(b"three")
    assert Outbox(slot).entries() == [b"one", b"", b"three"]
    assert (len(outbox), outbox.oldest) == (3, oldest)


def test_clear_empties_and_changes_the_generation(slot: Slot) -> None:
    outbox = Outbox(slot)
    outbox.append(b"one")
    before = outbox.generation
    outbox.clear()
    assert (outbox.entries(), len(outbox), outbox.oldest) == ([], 0, 0)
    assert outbox.generation != before
    outbox.append(b"two")
    assert outbox.entries() == [b"two"]


def test_what_does_not_fit_is_refused_and_spoils_nothing(slot: Slot) -> None:
    outbox = Outbox(slot)
    assert not outbox.append(bytes(OUTBOX_SIZE))
    assert outbox.append(bytes(OUTBOX_SIZE // 2))
    assert not outbox.append(bytes(OUTBOX_SIZE // 2))
    assert outbox.append(bytes(OUTBOX_SIZE // 2 - 16))
    assert not outbox.append(b"")
    assert len(outbox.entries()) == 2


def test_the_entries_of_a_worker_that_was_killed_are_there(board: Scoreboard, slot: Slot) -> None:
    def worker() -> int:
        outbox = Outbox(Scoreboard.open(board.path).slots[0])
        outbox.append(b"finished")
        os.kill(os.getpid(), 9)
        return 0

    assert exit_code(worker) == -9
    assert Outbox(slot).entries() == [b"finished"]


def test_an_entry_half_written_at_death_does_not_exist(slot: Slot) -> None:
    outbox = Outbox(slot)
    outbox.append(b"whole")
    used, count = slot.outbox_used, slot.outbox_count
    outbox.append(b"torn")
    slot.outbox_used, slot.outbox_count = used, count
    assert outbox.entries() == [b"whole"]


def test_a_worker_that_died_clearing_had_settled_them(slot: Slot) -> None:
    outbox = Outbox(slot)
    outbox.append(b"settled")
    slot.outbox_generation |= 1
    assert outbox.entries() == []


def test_damaged_bytes_end_the_reading(slot: Slot) -> None:
    outbox = Outbox(slot)
    outbox.append(b"good")
    start = slot.outbox_used
    outbox.append(b"bad")
    slot.data[start + 8] ^= 1
    assert outbox.entries() == [b"good"]
    slot.outbox_used = OUTBOX_SIZE * 1000
    assert outbox.entries() == [b"good"]


class Meanwhile:
    """The slot as a slow reader sees it: something happens between its look and its copy."""

    def __init__(self, slot: Slot, happens: Callable[[], object]) -> None:
        self._slot = slot
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        if name == "data":
            self._happens()
        return getattr(self._slot, name)


def test_entries_of_two_batches_are_not_mixed(slot: Slot) -> None:
    """Each by itself is whole, and the checksums are right: only the generation tells."""
    outbox = Outbox(slot)
    outbox.append(b"old 1")
    outbox.append(b"old 2")

    def next_batch() -> None:
        outbox.clear()
        outbox.append(b"new 1")

    assert Outbox(Meanwhile(slot, next_batch)).entries() == []  # type: ignore[arg-type]
    assert outbox.entries() == [b"new 1"]


def test_an_entry_added_meanwhile_is_left_for_the_next_time(slot: Slot) -> None:
    outbox = Outbox(slot)
    outbox.append(b"one")
    slow = Outbox(Meanwhile(slot, lambda: outbox.append(b"two")))  # type: ignore[arg-type]
    assert slow.entries()[:1] == [b"one"]
    assert outbox.entries()[:2] == [b"one", b"two"]


def test_a_reader_never_sees_a_mixture(board: Scoreboard, slot: Slot) -> None:
    """A worker fills and clears without a pause; each batch is of one letter."""

    def worker() -> int:
        outbox = Outbox(Scoreboard.open(board.path).slots[0])
        letter = 0
        while True:
            letter = (letter + 1) % 26
            entry = bytes([65 + letter]) * (100 + 40 * letter)
            for _ in range(10):
                outbox.append(entry)
            outbox.clear()

    outbox = Outbox(slot)
    batches = 0
    with children(worker):
        end = time.monotonic() + 10
        while batches < 500 and time.monotonic() < end:
            entries = outbox.entries()
            batches += bool(entries)
            assert len({entry[:1] for entry in entries}) <= 1
            for entry in entries:
                assert entry == entry[:1] * (100 + 40 * (entry[0] - 65))
    assert batches >= 500

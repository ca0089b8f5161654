"""An entry of the outbox counts only once its bytes are there (protocol C)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus.ipc.outbox import Outbox
from orpheus.ipc.scoreboard import Scoreboard, Slot


@pytest.fixture
def slot(tmp_path: Path) -> Iterator[Slot]:
    board = Scoreboard.create(tmp_path / "one.board", 1, "main", "boot", 1, 1)
    yield board.slots[0]
    board.close()


class Watched:
    """A slot in which somebody reads right after a word was written."""

    def __init__(self, slot: Slot, after: Callable[[str], None]) -> None:
        object.__setattr__(self, "_inner", (slot, after))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner[0], name)

    def __setattr__(self, name: str, value: int) -> None:
        slot, after = self._inner
        setattr(slot, name, value)
        after(name)


def test_a_reader_at_any_step_sees_whole_entries_only(slot: Slot) -> None:
    """Else it takes what is left there of an earlier batch for the new entry."""
    seen: list[list[bytes]] = []
    outbox = Outbox(Watched(slot, lambda _: seen.append(Outbox(slot).entries())))  # type: ignore[arg-type]
    outbox.append(b"of a batch before")
    outbox.clear()
    seen.clear()
    outbox.append(b"of this batch now")
    assert seen[0] == []
    assert seen[-1] == [b"of this batch now"]
    assert all(entries in ([], [b"of this batch now"]) for entries in seen)

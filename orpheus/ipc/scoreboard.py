"""The scoreboard: one mapped file per pool run, with a slot for each worker.

It says what each worker runs and carries what master, maintenance and workers tell one another.
Each word is a 64-bit integer with one writer at a time, named beside it; the file outlives every
process, so a death can be explained afterwards. Times are monotonic nanoseconds unless they say
wall. Nobody waits here and nothing here is ever locked.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MAGIC = 0x4F525048455553  # "ORPHEUS"
_VERSION = 1
_WORD = 8
_HEADER_SIZE = 4096
_TEXT_SIZE = 256
_BOOT_ID_AT = 1024
_POOL_AT = _BOOT_ID_AT + _TEXT_SIZE
_SLOT_WORDS_SIZE = 512

OUTBOX_SIZE = 64 * 1024
SLOT_SIZE = _SLOT_WORDS_SIZE + OUTBOX_SIZE

# The life of a slot. Only the arrow's owner takes it:
FREE = 0
STARTING = 1  # FREE → STARTING: master, at the fork
ALIVE = 2  # STARTING → ALIVE: the worker, once it is registered
DEAD = 3  # STARTING, ALIVE → DEAD: master, at the reaping; → FREE: maintenance, once settled

SYNC, ASYNC = 0, 1

# killed_why
TIMED_OUT = 1
CANCELLED = 2
STUCK = 3
DRAIN = 4


class _Words:
    """Anything whose attributes are words of the mapped file."""

    __slots__ = ("words",)

    def __init__(self, words: memoryview) -> None:
        self.words = words


class _Word:
    """One 64-bit word; reading and writing it is one memory access, never torn."""

    __slots__ = ("_index",)

    def __init__(self, index: int) -> None:
        self._index = index

    def __get__(self, owner: _Words, _type: type | None = None) -> int:
        word: int = owner.words[self._index]
        return word

    def __set__(self, owner: _Words, value: int) -> None:
        owner.words[self._index] = value


class Slot(_Words):
    """The place of one worker, for one life of it."""

    __slots__ = ("data", "index")

    state = _Word(0)  # see above
    pid = _Word(1)  # master and worker: the same value
    start_time = _Word(2)  # master and worker: the same value
    exit_status = _Word(3)  # master: the raw wait status
    lane = _Word(4)  # master: SYNC or ASYNC
    worker_id = _Word(5)  # worker: 0 until it is registered

    token = _Word(6)  # worker: the attempt about to run or running; 0 none
    armed = _Word(7)  # worker: the attempt whose user code runs right now; 0 none
    started_mono = _Word(8)  # worker
    started_wall = _Word(9)  # worker: microseconds
    deadline_mono = _Word(10)  # worker: of the armed attempt; 0 none
    claimed = _Word(11)  # worker: claims in hand
    finished = _Word(12)  # worker: attempts run since it started
    dropped_output = _Word(13)  # worker: records that did not fit the pipe
    stopping = _Word(14)  # worker: 1 once it has seen the drain

    revoke_from = _Word(15)  # maintenance sets, worker clears: claims ≥ this are revoked; 0 none
    cancel = _Word(16)  # maintenance: the attempt asked to cancel
    timeout = _Word(17)  # master: the attempt found overdue
    killed_for = _Word(18)  # master: the attempt that ran when it sent SIGKILL
    killed_why = _Word(19)  # master: TIMED_OUT, CANCELLED, STUCK or DRAIN

    counted_output = _Word(24)  # maintenance: of those dropped, how many are in the figures

    outbox_generation = _Word(20)  # worker: odd while it clears
    outbox_used = _Word(21)  # worker: bytes of complete entries
    outbox_count = _Word(22)  # worker
    outbox_oldest = _Word(23)  # worker: when the first entry was put in; 0 none

    def __init__(self, words: memoryview, data: memoryview, index: int) -> None:
        super().__init__(words)
        self.data = data  # the outbox's bytes
        self.index = index

    def take_dropped(self) -> int:
        """Records dropped and not counted yet; maintenance only."""
        new = self.dropped_output - self.counted_output
        self.counted_output += new
        return new

    def reset(self) -> None:
        """Forget the last life; the master calls it before it gives the slot to a new worker."""
        self.words[:] = memoryview(bytes(_SLOT_WORDS_SIZE)).cast("q")


class Scoreboard(_Words):
    """The mapped file."""

    __slots__ = ("_map", "_view", "path", "slots")

    magic = _Word(0)
    version = _Word(1)
    slot_count = _Word(2)
    slot_size = _Word(3)
    master_pid = _Word(4)
    master_start_time = _Word(5)
    session = _Word(6)  # master: its session, which its children and their groups share
    draining = _Word(7)  # master: 1 once no new work may begin
    maintenance_pid = _Word(8)  # master
    maintenance_beat = _Word(9)  # maintenance: when it last showed that it lives

    def __init__(self, path: Path, mapping: mmap.mmap, slots: int) -> None:
        self.path = path
        self._map = mapping
        self._view = memoryview(mapping)
        super().__init__(self._view[:_HEADER_SIZE].cast("q"))
        self.slots: tuple[Slot, ...] = tuple(self._slots(slots))

    @classmethod
    def create(
        cls,
        path: Path,
        slots: int,
        pool: str,
        boot_id: str,
        master_pid: int,
        master_start_time: int,
    ) -> Scoreboard:
        """Make the file, complete before anyone can see it under its name."""
        unfinished = path.with_name(f".{path.name}.new")
        with suppress(FileNotFoundError):
            unfinished.unlink()
        descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # Really allocated: a page that finds the disk full when touched kills with SIGBUS.
            size = _HEADER_SIZE + slots * SLOT_SIZE
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(descriptor, 0, size)
            else:
                os.ftruncate(descriptor, size)
            mapping = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        board = cls(path, mapping, slots)
        board.magic, board.version = _MAGIC, _VERSION
        board.slot_count, board.slot_size = slots, SLOT_SIZE
        board.master_pid, board.master_start_time = master_pid, master_start_time
        board.session = os.getsid(0)
        board._write_text(_BOOT_ID_AT, boot_id)
        board._write_text(_POOL_AT, pool)
        unfinished.rename(path)
        return board

    @classmethod
    def open(cls, path: Path) -> Scoreboard:
        """Map an existing one; ValueError if it is not a whole scoreboard of this version."""
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size = os.fstat(descriptor).st_size
            if size < _HEADER_SIZE:
                raise ValueError(f"{path} is no scoreboard")
            mapping = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        words = memoryview(mapping)[:_HEADER_SIZE].cast("q")
        magic, version, slots, slot_size = words[:4].tolist()
        words.release()
        expected = (_MAGIC, _VERSION, SLOT_SIZE, _HEADER_SIZE + slots * SLOT_SIZE)
        if (magic, version, slot_size, size) != expected:
            mapping.close()
            raise ValueError(f"{path} is no scoreboard of version {_VERSION}")
        return cls(path, mapping, slots)

    @property
    def boot_id(self) -> str:
        return self._read_text(_BOOT_ID_AT)

    @property
    def pool(self) -> str:
        return self._read_text(_POOL_AT)

    def close(self) -> None:
        """Unmap; no slot may be used afterwards."""
        for slot in self.slots:
            slot.words.release()
            slot.data.release()
        self.words.release()
        self._view.release()
        self._map.close()

    def _slots(self, count: int) -> Iterator[Slot]:
        for index in range(count):
            start = _HEADER_SIZE + index * SLOT_SIZE
            words = self._view[start : start + _SLOT_WORDS_SIZE].cast("q")
            yield Slot(words, self._view[start + _SLOT_WORDS_SIZE : start + SLOT_SIZE], index)

    def _write_text(self, at: int, text: str) -> None:
        data = text.encode()[: _TEXT_SIZE - 1]
        self._view[at : at + len(data)] = data

    def _read_text(self, at: int) -> str:
        return bytes(self._view[at : at + _TEXT_SIZE]).split(b"\0")[0].decode(errors="replace")


def board_path(run_dir: Path, pool: str, pid: int, started: int) -> Path:
    """Where the board of one run of a pool lies."""
    return run_dir / f"{pool}-{pid}-{started}.board"


def boards_of(run_dir: Path, pool: str) -> list[Path]:
    """The boards of all runs of a pool that are still there; their headers name the pool."""
    found = []
    for path in sorted(run_dir.glob("*.board")):
        try:
            board = Scoreboard.open(path)
        except (OSError, ValueError):
            continue
        if board.pool == pool:
            found.append(path)
        board.close()
    return found

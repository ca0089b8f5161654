"""The write-ahead log: synced, copied back into the database file, and kept short.

Of one process's connection, made by `store.database`. Checkpoints are holds of the gate of their
own (ADR 0017): inside a commit they would come on top of it. Reads the log's file itself, whose
format is fixed (https://sqlite.org/fileformat2.html#walformat); never the shared memory beside it,
whose locks would be lost with any descriptor of it that is closed.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from pathlib import Path

from orpheus.clock import SECOND_NS, Clock
from orpheus.errors import StoreFailed
from orpheus.ipc.process import close_in_forks, keep_in_forks
from orpheus.store.gate import Gate

_MIB = 1024 * 1024
# A commit's own checkpoint: only where nobody has tended the log.
LAST_RESORT_PAGES = 16_000
# What is left of the log's file when it begins anew: writing over it is cheaper than extending it.
KEPT_BYTES = 16 * _MIB

_CHECKPOINT_AT = 8 * _MIB
# In the middle of writing a lot: the hold is as long as the log, and others wait for their turn.
_CHECKPOINT_SOON = 4 * _MIB
# After a checkpoint that readers kept from ending: when it is worth another.
_CHECKPOINT_AGAIN = 4 * _MIB
# Readers overlap all the time: the log will not begin anew by itself.
_EMPTY_AT = 26 * _MIB
# How long the readers of now are waited for, in the gate (law 1 allows 250 ms), and how long nobody
# tries again after one of them outlasted that.
_READERS_MS = 150
_TRY_AGAIN_NS = 2 * SECOND_NS
_LOOK_EACH_NS = SECOND_NS // 10

_HEADER_SIZE = 32
_FRAME_HEADER_SIZE = 24
_PAGE_SIZE = struct.Struct(">8xI")
_HEADER_SALT = slice(16, 24)
_FRAME_SALT_AT = 8
# macOS has no fdatasync.
_sync = getattr(os, "fdatasync", os.fsync)


class WriteAheadLog:
    """The log of one database, as one process sees it."""

    def __init__(self, path: Path, connection: sqlite3.Connection, gate: Gate, clock: Clock):
        self._path = f"{path}-wal"
        self._connection = connection
        self._gate = gate
        self._clock = clock
        self._descriptor = -1
        self._look_after = 0
        self._try_after = 0
        self._copied = 0
        self._salt = b""

    def sync(self) -> None:
        """Make every commit so far survive a power cut, outside the gate; raises StoreFailed.

        What SQLite does inside a synced commit: all that is committed and not yet in the database
        file is in the log, and a checkpoint syncs the log first.
        """
        try:
            _sync(self._open())
        except OSError as error:
            raise StoreFailed(f"the log could not be synced: {error.strerror}") from error

    def used(self) -> int:
        """Bytes written since the log began anew; 0 where there is none."""
        # Pages are written one after the other, each with the salt of its time.
        page = self._page_size()
        low, high = 0, os.stat(self._path).st_size // page if page else 0
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._reaches(middle, page) else (low, middle)
        return low * page

    def tend(self, timeout: float | None = None, *, at_once: bool = False) -> None:
        """Copy the log back when it has grown; call it after writing, outside the gate.

        Where readers keep it from beginning anew, new writes and then new readers are held off
        until it is empty. `timeout` is for the gate, as in `Database.write`. Looks now and then
        only, or `at_once`, for who has written a lot.
        """
        now = self._clock.monotonic()
        if now < self._look_after and not at_once:
            return
        self._look_after = now + _LOOK_EACH_NS
        # Two short reads in most cases: each gives up the interpreter to the threads of a user.
        page = self._page_size()
        at = _CHECKPOINT_SOON if at_once else _CHECKPOINT_AT
        if not page or not self._reaches(at // page, page):
            self._copied = 0
            return
        used = self.used()
        if used >= _EMPTY_AT and now >= self._try_after:
            if not self._empty(timeout):
                self._try_after = now + _TRY_AGAIN_NS
        elif used >= self._copied + _CHECKPOINT_AGAIN:
            with self._gate.held(timeout):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            self._copied = used

    def close(self) -> None:
        """Let go of the file; after the connection."""
        if self._descriptor >= 0:
            keep_in_forks(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _page_size(self) -> int:
        """Of a page in the log, with its header; 0 where the log has not begun."""
        header = os.pread(self._open(), _HEADER_SIZE, 0)
        if len(header) < _HEADER_SIZE:
            return 0
        self._salt = header[_HEADER_SALT]
        size: int = _PAGE_SIZE.unpack_from(header)[0]
        return size + _FRAME_HEADER_SIZE

    def _reaches(self, number: int, page: int) -> bool:
        """Whether the page with this number has been written since the log began anew."""
        at = _HEADER_SIZE + number * page + _FRAME_SALT_AT
        return os.pread(self._open(), len(self._salt), at) == self._salt

    def _empty(self, timeout: float | None) -> bool:
        """Copy all of it and truncate it; False where a reader stayed too long."""
        execute = self._connection.execute
        execute(f"PRAGMA busy_timeout = {_READERS_MS}")
        try:
            with self._gate.held(timeout):
                (busy, _, _) = execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        finally:
            execute("PRAGMA busy_timeout = 0")
        return not busy

    def _open(self) -> int:
        # The same file for as long as our connection keeps SQLite from removing it. Unlike those of
        # the database file, no lock of ours hangs on its descriptors.
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
            close_in_forks(self._descriptor)
        return self._descriptor

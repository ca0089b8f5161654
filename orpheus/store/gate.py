"""The write gate: every write transaction, checkpoint and close runs inside it (law 1).

Wraps the fair turnstile of `ipc.locks` with the transaction protocol (protocol A): BEGIN
IMMEDIATE without SQLite's own busy wait, which sleeps and starves; a stranger's lock (the sqlite3
shell) is waited for outside the gate. Used by `store.database` and `store.migrate` only.
"""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orpheus.clock import SECOND_NS, Clock
from orpheus.errors import StoreBusy, StoreFailed, StoreFull
from orpheus.ipc.locks import ORPHEUS, Turnstile
from orpheus.log import get_logger

_LONG_HOLD_NS = SECOND_NS // 20
_STRANGER = "a program outside Orpheus holds the database's write lock"
_log = get_logger("store.gate")


class Gate:
    """The gate of one data folder, as one process uses it. Descriptors are opened on first use."""

    def __init__(self, gate_path: Path, turn_path: Path, clock: Clock, kind: int = ORPHEUS) -> None:
        self._turnstile = Turnstile(turn_path, gate_path, kind)
        self._clock = clock
        self.waited_ns = 0
        self.entries = 0
        self.long_holds = 0

    @contextmanager
    def transaction(
        self, connection: sqlite3.Connection, timeout: float | None = None
    ) -> Iterator[None]:
        """Hold the gate around one IMMEDIATE transaction; commit at the end, else roll back.

        `timeout` is in seconds, None waits for as long as it takes. Raises StoreBusy when the
        time is up, StoreFull where the disk is full, StoreFailed where the database cannot be
        trusted.
        """
        started = self._clock.monotonic()
        deadline = None if timeout is None else started + int(timeout * SECOND_NS)
        self._enter(connection, deadline)
        entered = self._clock.monotonic()
        self.waited_ns += entered - started
        self.entries += 1
        try:
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                _roll_back(connection)
                raise
        except sqlite3.Error as error:
            raise classify(error) from error
        finally:
            self._turnstile.release()
        self._judge(entered)

    @contextmanager
    def held(self, timeout: float | None = None) -> Iterator[None]:
        """Hold the gate without a transaction: for a checkpoint, or closing a connection."""
        self._acquire(None if timeout is None else self._clock.monotonic() + int(timeout * 1e9))
        entered = self._clock.monotonic()
        try:
            yield
        except sqlite3.Error as error:
            raise classify(error) from error
        finally:
            self._turnstile.release()
        self._judge(entered)

    def close(self) -> None:
        """Close the descriptors."""
        self._turnstile.close()

    def _judge(self, entered: int) -> None:
        held = self._clock.monotonic() - entered
        if held > _LONG_HOLD_NS:
            self.long_holds += 1
            _log.warning("gate held long", milliseconds=round(held / 1e6, 1))

    def _acquire(self, deadline: int | None) -> None:
        if deadline is None:
            self._turnstile.acquire(None)
            return
        remaining = (deadline - self._clock.monotonic()) / SECOND_NS
        if remaining <= 0 or not self._turnstile.acquire(remaining):
            raise StoreBusy("the write gate was not free in time")

    def _enter(self, connection: sqlite3.Connection, deadline: int | None) -> None:
        stranger_seen = False
        while True:
            try:
                self._acquire(deadline)
            except StoreBusy:
                if stranger_seen:
                    # The pause overslept the deadline; the cause is still who held the lock.
                    raise StoreBusy(_STRANGER) from None
                raise
            try:
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.Error as error:
                self._turnstile.release()
                if not is_busy(error):
                    raise classify(error) from error
            # Not one of ours, so it does not queue at the gate: try again, apart from the others.
            stranger_seen = True
            pause = random.uniform(0.005, 0.05)  # noqa: S311
            if deadline is not None and self._clock.monotonic() + pause * SECOND_NS >= deadline:
                raise StoreBusy(_STRANGER)
            time.sleep(pause)


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection's lock was in the way."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
    )


_FAILURES = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_PERM,
    }
)


def classify(error: sqlite3.Error) -> Exception:
    """The Orpheus error for a SQLite one; programming errors stay what they are."""
    if is_busy(error):
        return StoreBusy(str(error))
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return StoreFull("the disk is full; nothing was written")
    if code in _FAILURES:
        name = getattr(error, "sqlite_errorname", "")
        return StoreFailed(f"the database failed: {error} ({name})")
    return error


def _roll_back(connection: sqlite3.Connection) -> None:
    # Some errors (I/O, full disk) have rolled back already.
    if connection.in_transaction:
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            _log.warning("rollback failed", exc_info=True)

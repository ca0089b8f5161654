"""Connections to the database file: opened, counted, tuned and closed here and nowhere else.

A process that has one must not fork: SQLite's locks and memory do not survive it (an un-closed
connection plus a fork corrupted the file in an experiment). Open connections are counted and the
fork guard refuses; in a handler's own forks the connection is made unusable instead.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from orpheus.clock import SECOND_NS, Clock
from orpheus.errors import ConfigurationError, StoreFailed
from orpheus.ipc.locks import ORPHEUS
from orpheus.ipc.process import register_fork_guard
from orpheus.settings import Settings
from orpheus.store.gate import Gate, classify
from orpheus.store.transaction import Transaction
from orpheus.store.wal import KEPT_BYTES, LAST_RESORT_PAGES, WriteAheadLog

MINIMUM_SQLITE = (3, 38, 0)
# What a transaction of a whole batch changes stays in memory until its commit: written to the log
# in pieces and read back from there it takes half as long again.
_LARGE_CACHE_KIB = 40 * 1024
# A reader, who is outside the gate, may be the first after a crash and recover the log; law 1
# allows so much inside it.
RECOVERY_MS = 250
_FIGURES_EVERY_NS = 5 * SECOND_NS

_open: dict[int, sqlite3.Connection] = {}


def _refuse_fork() -> str | None:
    return f"{len(_open)} database connections are open" if _open else None


def _abandon() -> None:
    """Make sure a forked copy is never used, not even by its destructor.

    Closing a copy would act on the files of the parent's connection; so it is kept alive, and
    out of use, for as long as the forked process lives.
    """
    for connection in _open.values():
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))
    _open.clear()


register_fork_guard(_refuse_fork)
os.register_at_fork(after_in_child=_abandon)


def check_engine() -> None:
    """Raise ConfigurationError where SQLite is too old for the SQL used here."""
    if sqlite3.sqlite_version_info < MINIMUM_SQLITE:
        wanted = ".".join(map(str, MINIMUM_SQLITE))
        raise ConfigurationError(
            f"SQLite {sqlite3.sqlite_version} is too old: Orpheus needs {wanted} or newer; "
            "use a Python built with one"
        )


def connect(
    path: Path, durability: Literal["full", "normal"], *, create: bool = True
) -> sqlite3.Connection:
    """A read-write connection. Opened, used and closed (with `close`) inside the gate."""
    uri = f"{path.absolute().as_uri()}?mode={'rwc' if create else 'rw'}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0)
    except sqlite3.Error as error:
        raise classify(error) from error
    _open[id(connection)] = connection
    try:
        for pragma in (
            f"busy_timeout = {RECOVERY_MS}",
            f"synchronous = {durability.upper()}",
            "foreign_keys = ON",
            f"wal_autocheckpoint = {LAST_RESORT_PAGES}",
            f"journal_size_limit = {KEPT_BYTES}",
            "temp_store = MEMORY",
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "mmap_size = 0",
            "busy_timeout = 0",
        ):
            connection.execute(f"PRAGMA {pragma}")
    except sqlite3.Error as error:
        close(connection)
        raise classify(error) from error
    return connection


def close(connection: sqlite3.Connection) -> None:
    """Close a connection of `connect`. The last close writes the WAL back: call it in the gate."""
    connection.close()
    _open.pop(id(connection), None)


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def readonly_uri(path: Path) -> str:
    """The URI under which readers open the file: they can never write, checkpoint or create."""
    return f"{path.absolute().as_uri()}?mode=ro"


def connect_readonly(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A read-only connection, for short synchronous reads outside the API.

    `immutable` is for a file that nobody writes and has no log: nothing is made beside it.
    """
    uri = readonly_uri(path) + ("&immutable=1" if immutable else "")
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=1)
    except sqlite3.Error as error:
        raise classify(error) from error
    _open[id(connection)] = connection
    try:
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        close(connection)
        raise classify(error) from error
    return connection


class Database:
    """The one read-write connection of a process, and its gate."""

    def __init__(self, settings: Settings, clock: Clock, kind: int = ORPHEUS) -> None:
        self._clock = clock
        self._pid = os.getpid()
        self.gate = Gate(settings.gate_path, settings.locks_dir / "turn", clock, kind)
        # In the gate: the first connection may have a log to recover, and the last one that closes
        # removes it; beside either, SQLite answers "locked".
        with self.gate.held():
            # Making it is `store.migrate`'s: a file that is missing here was removed.
            self.connection = connect(settings.database_path, settings.durability, create=False)
            log_path = f"{settings.database_path}-wal"
            self._opened = [(p, _identity(p)) for p in (str(settings.database_path), log_path)]
        self.log = WriteAheadLog(settings.database_path, self.connection, self.gate, clock)
        self._figures_due = 0
        self._full = settings.durability == "full"
        self._synced = True

    @contextmanager
    def write(self, timeout: float | None = None, *, synced: bool = True) -> Iterator[Transaction]:
        """One write transaction inside the gate; see `Gate.transaction` for what it raises.

        `synced=False` is for what a power cut makes void anyway (claims, renewals), and for what
        is followed by `sync` before anybody is told: it may be lost, never torn, and the next
        synced commit of anybody covers it.
        """
        if os.getpid() != self._pid:
            raise RuntimeError("a database connection was carried across a fork")
        self._set_synced(synced)
        with self.gate.transaction(self.connection, timeout):
            if synced:
                self.check_files()
            transaction = Transaction(self.connection, self._clock.now(), self._clock.monotonic())
            yield transaction
            self._add_figures(transaction)
            transaction.flush()

    def check_files(self) -> None:
        """Raise StoreFailed where the files were removed or replaced since they were opened.

        Writing to them would go on without an error, and be gone with the last process.
        """
        for path, opened in self._opened:
            if _identity(path) != opened:
                raise StoreFailed(f"{path} was removed or replaced while Orpheus runs")

    def expect(self, *, synced: bool) -> None:
        """Say how the next transaction will be written, before waiting for what it is about.

        Setting it takes as long as a claim's own statements on a machine that just woke.
        """
        self._set_synced(synced)

    def sync(self) -> None:
        """Make every commit so far survive what may come, before anybody is told of it.

        A power cut, where durability is full; in any case the removal of the files.
        """
        if self._full:
            self.log.sync()
        self.check_files()

    @contextmanager
    def large(self) -> Iterator[None]:
        """For a transaction of many megabytes."""
        execute = self.connection.execute
        ordinary = execute("PRAGMA cache_size").fetchone()[0]
        execute(f"PRAGMA cache_size = {-_LARGE_CACHE_KIB}")
        try:
            yield
        finally:
            execute(f"PRAGMA cache_size = {ordinary}")
            execute("PRAGMA shrink_memory")

    def close(self) -> None:
        """Close the connection inside the gate, since the last close checkpoints."""
        with self.gate.held():
            close(self.connection)
        self.log.close()
        self.gate.close()

    def _set_synced(self, synced: bool) -> None:
        if self._full and synced is not self._synced:
            # Has no effect inside a transaction, so it comes before.
            self.connection.execute(f"PRAGMA synchronous = {'FULL' if synced else 'NORMAL'}")
            self._synced = synced

    def _add_figures(self, transaction: Transaction) -> None:
        """Publish how long this process waited for the gate, now and then, with other writes."""
        if transaction.monotonic < self._figures_due or not len(transaction.events):
            return
        self._figures_due = transaction.monotonic + _FIGURES_EVERY_NS
        gate = self.gate
        transaction.totals.add("gate_wait_seconds_sum", value=gate.waited_ns / SECOND_NS)
        transaction.totals.add("gate_wait_seconds_count", value=gate.entries)
        transaction.totals.add("gate_long_holds", value=gate.long_holds)
        gate.waited_ns = gate.entries = gate.long_holds = 0

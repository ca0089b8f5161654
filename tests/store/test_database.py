"""Connections: how they are set up, and what becomes of them when a process forks."""

from __future__ import annotations

import gc
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import ForkRefused, StoreFailed
from orpheus.ipc.locks import read_record
from orpheus.ipc.process import fork
from orpheus.store import database
from orpheus.store.database import Database, connect_readonly
from orpheus.store.migrate import migrate
from tests.support.clock import FakeClock
from tests.support.stores import (
    Store,
    children,
    exit_codes,
    integrity,
    open_store,
    settings_at,
)


@pytest.mark.parametrize(
    ("pragma", "value"),
    [
        ("journal_mode", "wal"),
        ("foreign_keys", 1),
        ("busy_timeout", 0),
        ("wal_autocheckpoint", 16_000),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("temp_store", 2),
        ("mmap_size", 0),
        ("journal_size_limit", 16 * 1024 * 1024),
    ],
)
def test_pragmas(store: Store, pragma: str, value: object) -> None:
    assert store.value(f"PRAGMA {pragma}") == value


@pytest.mark.parametrize(("durability", "synchronous"), [("full", 2), ("normal", 1)])
def test_durability_is_the_setting(tmp_path: Path, durability: str, synchronous: int) -> None:
    with open_store(tmp_path, durability=durability) as store:
        assert store.value("PRAGMA synchronous") == synchronous


def test_files_are_the_owners_only(store: Store) -> None:
    store.add()
    settings = store.settings
    files = [*settings.data_dir.glob("orpheus.*"), settings.locks_dir / "turn"]
    assert {path.name for path in files} == {
        "orpheus.db", "orpheus.db-wal", "orpheus.db-shm", "orpheus.gate", "turn",
    }  # fmt: skip
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (settings.data_dir, *(p for p in settings.data_dir.rglob("*") if p.is_dir())):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_a_reader_cannot_write(store: Store) -> None:
    reader = connect_readonly(store.settings.database_path)
    try:
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.execute("DELETE FROM jobs")
    finally:
        database.close(reader)


def test_a_reader_creates_nothing(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed):
        connect_readonly(tmp_path / "absent.db")
    assert not (tmp_path / "absent.db").exists()


def test_opening_happens_inside_the_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a program that creates, recovers or closes the file SQLite answers "locked"."""
    with open_store(tmp_path) as store:
        settings = store.settings
    holders = []

    def watched(
        path: Path, durability: Literal["full", "normal"], create: bool = True
    ) -> sqlite3.Connection:
        record = read_record(settings.gate_path)
        holders.append(record and record.pid)
        return connect(path, durability, create=create)

    connect = database.connect
    monkeypatch.setattr(database, "connect", watched)
    migrate(settings, FakeClock())
    Database(settings, FakeClock()).close()
    assert holders == [os.getpid(), os.getpid()]


class TestForkGuard:
    def test_a_fork_beside_an_open_connection_is_refused(self, store: Store) -> None:
        with pytest.raises(ForkRefused, match="1 database connections are open"):
            fork(lambda: 0)

    def test_only_an_explicit_close_counts(self, tmp_path: Path) -> None:
        with open_store(tmp_path) as store:
            path = store.settings.database_path
        forgotten = connect_readonly(path)
        kept = id(forgotten)
        del forgotten
        gc.collect()
        with pytest.raises(ForkRefused):
            fork(lambda: 0)
        database.close(database._open[kept])
        with children([lambda: 0]) as pids:
            assert exit_codes(pids) == [0]

    def test_a_failed_open_leaves_no_connection_counted(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)
        settings.database_path.write_bytes(b"no database" * 1000)
        with pytest.raises(StoreFailed):
            Database(settings, FakeClock())
        assert not database._open


class TestAForkedCopy:
    """A handler may fork without asking; what it inherits must be out of reach, never closed."""

    def test_is_refused_to_write(self, store: Store) -> None:
        def write() -> int:
            try:
                with store.database.write():
                    return 1
            except RuntimeError as error:
                return 0 if "across a fork" in str(error) else 2

        assert run_in_plain_fork(write) == 0

    def test_is_never_closed(self, store: Store) -> None:
        store.add()
        path = str(store.settings.database_path)

        def forget() -> int:
            before = open_files(path)
            store.database.connection = None  # type: ignore[assignment]
            gc.collect()
            # Destroying the copy would have closed its files, and dropped the parent's locks.
            return 0 if before and open_files(path) == before else 1

        assert run_in_plain_fork(forget) == 0

    def test_does_the_original_no_harm(self, store: Store) -> None:
        store.add()

        def forget_and_fork_again() -> int:
            store.database.connection = None  # type: ignore[assignment]
            gc.collect()
            return 0 if not database._open else 1

        for _ in range(5):
            assert run_in_plain_fork(forget_and_fork_again) == 0
            store.add()
        assert len(store.rows("SELECT id FROM jobs")) == 6
        assert store.value("PRAGMA integrity_check") == "ok"

    def test_leaves_a_file_that_another_process_finds_whole(self, tmp_path: Path) -> None:
        with open_store(tmp_path, SystemClock()) as store:
            store.add()
            assert run_in_plain_fork(lambda: 0) == 0
            store.add()
        assert integrity(store.settings.database_path) == "ok"


def open_files(name: str) -> set[str]:
    """Descriptors of this process that lead to the database's files."""
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{descriptor}")
        except OSError:
            continue
        if target.startswith(name):
            found.add(f"{descriptor} {target}")
    return found


def run_in_plain_fork(main: Callable[[], int]) -> int:
    """Fork as a handler would, without the guard, and return the exit code."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = main()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

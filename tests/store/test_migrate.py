"""The database file: made once, by whoever comes first, and refused where it cannot be served."""

from __future__ import annotations

import os
import signal
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Literal

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import EXIT_CONFIGURATION, EXIT_OK, ConfigurationError
from orpheus.settings import Settings
from orpheus.store import database, prepare
from orpheus.store import migrate as migrate_module
from orpheus.store.database import Database
from orpheus.store.migrate import latest_version, migrate, statements
from tests.support.clock import FakeClock
from tests.support.stores import children, exit_codes, integrity, open_store, settings_at

STARTERS = 8


def version_of(settings: Settings) -> int:
    connection = sqlite3.connect(settings.database_path)
    try:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])
    finally:
        connection.close()


def test_a_fresh_database_has_the_newest_schema(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    assert migrate(settings, FakeClock()) == latest_version()
    assert version_of(settings) == latest_version()


def test_migrating_again_changes_nothing(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    migrate(settings, FakeClock())
    before = sqlite3.connect(settings.database_path)
    first = list(before.iterdump())
    before.close()
    migrate(settings, FakeClock())
    after = sqlite3.connect(settings.database_path)
    assert list(after.iterdump()) == first
    after.close()


@pytest.mark.parametrize("what", ["migrate", "open"])
def test_a_reader_that_just_recovers_the_log_is_waited_for(tmp_path: Path, what: str) -> None:
    settings = settings_at(tmp_path)
    migrate(settings, SystemClock())
    # As during a recovery, nobody else can even look.
    reader = sqlite3.connect(settings.database_path, isolation_level=None, check_same_thread=False)
    reader.execute("PRAGMA locking_mode = EXCLUSIVE")
    reader.execute("BEGIN IMMEDIATE")

    def recovered() -> None:
        reader.execute("ROLLBACK")
        reader.close()

    timer = threading.Timer(0.05, recovered)
    timer.start()
    try:
        if what == "migrate":
            assert migrate(settings, SystemClock()) == latest_version()
        else:
            Database(settings, SystemClock()).close()
    finally:
        timer.join()


def test_a_database_of_the_first_schema_goes_on_as_it_is(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    _, _, first = migrate_module._migrations()[0]
    with closing(sqlite3.connect(settings.database_path, isolation_level=None)) as connection:
        for statement in statements(first):
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        connection.execute("INSERT INTO queues (name) VALUES ('default')")
        connection.execute("INSERT INTO counters VALUES ('default', 'echo', 'pending', 1)")
        connection.execute(
            "INSERT INTO jobs (type, queue, lane, state, payload, max_retries, max_crashes,"
            " backoff_base, backoff_cap, timeout, created_at, run_at)"
            " VALUES ('echo', 'default', 'sync', 'pending', '{\"n\":1}', 3, 3, 1, 1, 1, 1, 1)"
        )
    with open_store(tmp_path) as store:
        (claim,) = store.worker().claim(2)
        assert (claim.job_id, claim.payload) == (1, '{"n":1}')
    assert version_of(settings) == latest_version()


def together(settings: Settings, main: Callable[[], int]) -> list[int]:
    """Exit codes of processes that all start `main` at the same moment."""
    start, go = os.pipe()

    def wait_and_run() -> int:
        os.close(go)
        os.read(start, 1)
        return main()

    with children([wait_and_run] * STARTERS) as pids:
        os.close(start)
        os.close(go)
        return exit_codes(pids)


@pytest.mark.parametrize("attempt", range(5))
def test_programs_that_start_at_once_migrate_once(tmp_path: Path, attempt: int) -> None:
    settings = settings_at(tmp_path)

    def start() -> int:
        migrate(settings, SystemClock())
        store = Database(settings, SystemClock())
        with store.write() as tx:
            tx.connection.execute("INSERT INTO activity (second) VALUES (?)", (os.getpid(),))
        store.close()
        return EXIT_OK

    assert together(settings, start) == [EXIT_OK] * STARTERS
    connection = sqlite3.connect(settings.database_path)
    # Applied twice, the first migration would have failed on its first table.
    assert connection.execute("SELECT count(*) FROM activity").fetchone() == (STARTERS,)
    assert connection.execute("SELECT count(*) FROM meta").fetchone() == (2,)
    connection.close()


class TestKilledInTheMiddle:
    """A kill at any statement leaves the old schema or the new one."""

    @staticmethod
    def dies_at(settings: Settings, statement: int) -> Callable[[], int]:
        def main() -> int:
            original = statements

            def deadly(script: str) -> list[str]:
                steps = list(original(script))
                return [*steps[:statement], "SELECT die()", *steps[statement:]]

            def die() -> None:
                os.kill(os.getpid(), signal.SIGKILL)

            connect = database.connect

            def connect_with_die(
                path: Path, durability: Literal["full", "normal"], *, create: bool = True
            ) -> sqlite3.Connection:
                connection = connect(path, durability, create=create)
                connection.create_function("die", 0, die)
                return connection

            migrate_module.statements = deadly  # type: ignore[assignment]
            database.connect = connect_with_die
            migrate(settings, SystemClock())
            return EXIT_OK

        return main

    @pytest.mark.parametrize("statement", [0, 1, 10, 25, -1])
    def test_leaves_old_or_new(self, tmp_path: Path, statement: int) -> None:
        settings = settings_at(tmp_path)
        with children([self.dies_at(settings, statement)]) as pids:
            assert exit_codes(pids) == [-signal.SIGKILL]
        assert version_of(settings) == 0
        connection = sqlite3.connect(settings.database_path)
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        connection.close()
        assert migrate(settings, FakeClock()) == latest_version()
        assert integrity(settings.database_path) == "ok"


class TestRefusals:
    def test_a_newer_schema(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)
        migrate(settings, FakeClock())
        connection = sqlite3.connect(settings.database_path)
        connection.execute(f"PRAGMA user_version = {latest_version() + 1}")
        connection.close()
        with pytest.raises(ConfigurationError, match="newer than this Orpheus"):
            migrate(settings, FakeClock())
        assert version_of(settings) == latest_version() + 1
        assert prepare.main(settings) == EXIT_CONFIGURATION

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)
        garbage = b"this was never a database\n" * 200
        settings.database_path.write_bytes(garbage)
        with pytest.raises(ConfigurationError, match="not a database"):
            migrate(settings, FakeClock())
        assert settings.database_path.read_bytes() == garbage
        assert prepare.main(settings) == EXIT_CONFIGURATION

    def test_a_file_of_another_program(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)
        connection = sqlite3.connect(settings.database_path)
        connection.execute("CREATE TABLE jobs (mine)")
        connection.close()
        with pytest.raises(ConfigurationError, match="already exists"):
            migrate(settings, FakeClock())
        assert version_of(settings) == 0

    def test_a_missing_folder(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path).model_copy(update={"data_dir": tmp_path / "nowhere"})
        with pytest.raises(ConfigurationError, match="nowhere"):
            migrate(settings, FakeClock())

    @pytest.mark.parametrize("exists", [True, False], ids=["with a database", "empty"])
    def test_a_read_only_folder(self, exists: bool) -> None:
        def as_anybody() -> int:
            if os.geteuid() == 0:  # root may write anywhere
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            return prepare.main(settings)

        # Not pytest's folder, which only its owner may pass.
        with tempfile.TemporaryDirectory() as folder:
            settings = settings_at(Path(folder))
            if exists:
                migrate(settings, FakeClock())
            Path(folder).chmod(0o755)
            for path in (settings.data_dir, *settings.data_dir.rglob("*")):
                path.chmod(0o555 if path.is_dir() else 0o444)
            with children([as_anybody]) as pids:
                assert exit_codes(pids) == [EXIT_CONFIGURATION]
            for path in (settings.data_dir, *settings.data_dir.rglob("*")):
                path.chmod(0o755)

    def test_an_old_sqlite(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 37, 2))
        monkeypatch.setattr(sqlite3, "sqlite_version", "3.37.2")
        with pytest.raises(ConfigurationError, match=r"3\.37\.2 is too old.*3\.38\.0"):
            migrate(settings_at(tmp_path), FakeClock())

    def test_the_oldest_sqlite_that_will_do(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sqlite3, "sqlite_version_info", database.MINIMUM_SQLITE)
        assert migrate(settings_at(tmp_path), FakeClock()) == latest_version()


class TestStatements:
    def test_come_one_by_one(self) -> None:
        script = "CREATE TABLE a (\n  x  -- with; a semicolon\n);\nINSERT INTO a VALUES (';');\n"
        assert [part.strip()[:6] for part in statements(script)] == ["CREATE", "INSERT"]

    def test_an_unfinished_one_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="unfinished"):
            list(statements("CREATE TABLE a (x);\nCREATE TABLE b (x)"))

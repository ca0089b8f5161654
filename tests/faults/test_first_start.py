"""The first start: killed at any step of a migration, or eight programs at once on nothing."""

from __future__ import annotations

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import pytest

from orpheus.clock import SystemClock
from orpheus.settings import Settings
from orpheus.store import database
from orpheus.store import migrate as migrate_module
from orpheus.store.migrate import latest_version, migrate, statements
from tests.faults.supervised import Supervised
from tests.support.clock import FakeClock
from tests.support.stores import children, exit_codes, integrity, settings_at

pytestmark = pytest.mark.long

STATEMENTS = len(list(statements(migrate_module._migrations()[0][2])))


def schema_of(path: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(path)) as connection:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return version, tables


class Deadly(sqlite3.Connection):
    """Kills its process before the nth statement, whatever it is."""

    left = 0

    def execute(self, *args: Any) -> sqlite3.Cursor:
        Deadly.left -= 1
        if Deadly.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().execute(*args)


def migrate_and_die(settings: Settings, n: int) -> int:
    def connect(
        path: Path, durability: Literal["full", "normal"], *, create: bool = True
    ) -> sqlite3.Connection:
        Deadly.left = n
        return sqlite3.connect(path, isolation_level=None, timeout=0, factory=Deadly)

    database.connect = connect
    return migrate(settings, SystemClock())


def test_a_kill_before_each_statement_leaves_the_old_schema_or_the_new_one(tmp_path: Path) -> None:
    whole: tuple[int, int] | None = None
    for n in range(STATEMENTS + 20):
        settings = settings_at(tmp_path / str(n))
        with children([lambda n=n, at=settings: migrate_and_die(at, n)]) as pids:  # type: ignore[misc]
            code = exit_codes(pids)[0]
        version, tables = schema_of(settings.database_path)
        assert (version, tables) == (0, 0) or version == latest_version(), n
        assert migrate(settings, FakeClock()) == latest_version()
        whole = whole or schema_of(settings.database_path)
        assert schema_of(settings.database_path) == whole
        assert integrity(settings.database_path) == "ok"
        if code != -signal.SIGKILL:
            assert n > STATEMENTS
            return
    pytest.fail("it never came to the end")


@pytest.mark.processes
@pytest.mark.parametrize("attempt", range(3))
def test_eight_programs_at_once_on_an_empty_folder(tmp_path: Path, attempt: int) -> None:
    system = Supervised(tmp_path, {"PROCESSES": "1"})
    programs = [system.spawn("migrate") for _ in range(3)]
    system.api = system.spawn("api")
    for name in ("main", "b", "c", "d"):
        system.start_pool(name)
    try:
        system.ends_done(system.submits(within=40))
        assert [program.wait(30) for program in programs] == [0, 0, 0]
        assert system.ends == {"api": [], "main": []}
        assert all(process.poll() is None for process in system.pools.values())
        assert system.rows("SELECT count(*) FROM meta") == [(2,)]
    finally:
        system.stop()
    assert integrity(system.data_dir / "orpheus.db") == "ok"

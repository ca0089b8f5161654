"""Brings the database file to this version's schema; refuses what it cannot serve.

Numbered SQL files, applied one transaction each inside the gate, so that programs that start at
the same moment apply each exactly once and a kill leaves the old schema or the new one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path

from orpheus.clock import Clock
from orpheus.errors import ConfigurationError, OrpheusError, StoreBusy
from orpheus.ipc.locks import ORPHEUS
from orpheus.log import get_logger
from orpheus.settings import Settings
from orpheus.store import database
from orpheus.store.gate import Gate

_GATE_TIMEOUT = 30.0
# A quarter of a second.
_LOOKED_THROUGH_BYTES = 128 * 1024 * 1024
_log = get_logger("store.migrate")


def migrate(
    settings: Settings, clock: Clock, kind: int = ORPHEUS, timeout: float | None = _GATE_TIMEOUT
) -> int:
    """Apply what is missing and return the schema version.

    `kind` and `timeout` are the gate's; a process with user code has no alarm clock to wait with.
    Raises ConfigurationError where the file is no database, is damaged or lost, belongs to a
    newer Orpheus, or SQLite is too old; StoreBusy where another program holds the file for half a
    minute.
    """
    database.check_engine()
    gate = Gate(settings.gate_path, settings.locks_dir / "turn", clock, kind)
    try:
        # Opened inside the gate: while another program creates the file, recovers its log or
        # closes it, SQLite answers "locked" even to who only looks.
        with gate.held(timeout):
            _refuse_a_lost_one(settings)
            connection = database.connect(settings.database_path, settings.durability)
        try:
            connection.execute(f"PRAGMA busy_timeout = {database.RECOVERY_MS}")
            with gate.held(timeout):
                _use_wal(connection)
            if kind == ORPHEUS:
                _refuse_a_damaged_one(settings, connection)
            connection.execute("PRAGMA busy_timeout = 0")
            version = _apply(connection, gate, settings, timeout)
            _marker(settings).touch(mode=0o600)
            return version
        finally:
            with gate.held():
                database.close(connection)
    except (sqlite3.Error, OrpheusError, OSError) as error:
        if isinstance(error, ConfigurationError | StoreBusy):
            raise
        raise ConfigurationError(
            f"cannot use {settings.database_path}: {error}; restore a backup or move it away"
        ) from error
    finally:
        gate.close()


def latest_version() -> int:
    """The schema version of this code."""
    return _migrations()[-1][0]


@cache
def own_tables() -> frozenset[str]:
    """The names of everything the schema has: what belongs to Orpheus in a shared file."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for _, _, script in _migrations():
            for statement in statements(script):
                connection.execute(statement)
        rows = connection.execute("SELECT name FROM sqlite_master")
        return frozenset(name.lower() for (name,) in rows)
    finally:
        connection.close()


def statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: executescript() would end our transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        raise ValueError(f"unfinished statement in a migration: {statement.strip()[:60]}")


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Apply what is missing to a file nobody else knows of, without the gate."""
    for version, _, script in _migrations():
        if version > int(connection.execute("PRAGMA user_version").fetchone()[0]):
            for statement in statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version:d}")


def _apply(
    connection: sqlite3.Connection, gate: Gate, settings: Settings, timeout: float | None
) -> int:
    for version, name, script in _migrations():
        with gate.transaction(connection, timeout):
            current = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if current > latest_version():
                raise ConfigurationError(
                    f"{settings.database_path} has schema {current}, newer than this Orpheus "
                    f"knows ({latest_version()}): install the newer version again"
                )
            if version <= current:
                continue
            for statement in statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version:d}")
        _log.info("migrated", migration=name)
    return latest_version()


def _marker(settings: Settings) -> Path:
    """Says that there has been a database in this data folder."""
    return settings.locks_dir / "database.made"


def _refuse_a_lost_one(settings: Settings) -> None:
    """An empty one in its place would look as if nothing had happened."""
    marker = _marker(settings)
    if marker.exists() and not settings.database_path.exists():
        raise ConfigurationError(
            f"{settings.database_path} is gone: `orpheus restore` a backup, or remove {marker} "
            "to begin with an empty database"
        )


def _refuse_a_damaged_one(settings: Settings, connection: sqlite3.Connection) -> None:
    """Restarting does not mend it. Where looking takes long, `orpheus doctor` is for that."""
    if settings.database_path.stat().st_size > _LOOKED_THROUGH_BYTES:
        return
    complaint = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if complaint != "ok":
        raise ConfigurationError(
            f"{settings.database_path} is damaged ({complaint}): keep a copy of the data folder "
            "and `orpheus restore` the last backup"
        )


def _use_wal(connection: sqlite3.Connection) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise ConfigurationError(
            f"SQLite cannot use a write-ahead log here (journal mode {mode}): "
            "put the data folder on a local disk"
        )


def _migrations() -> list[tuple[int, str, str]]:
    folder = resources.files("orpheus.store") / "migrations"
    files = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [
        (int(name.split("_", 1)[0]), name, (folder / name).read_text("utf-8")) for name in files
    ]

"""Whether a database file is whole and one of ours: what backup, restore and doctor ask.

Only reads, and never takes the gate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from orpheus.store import database
from orpheus.store.gate import classify
from orpheus.store.migrate import latest_version

_SHOWN_ERRORS = 10


@dataclass(frozen=True, slots=True)
class Contents:
    """What names a database and says how far it had come."""

    database_id: str
    restores: int
    schema: int
    jobs: int
    seq: int

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@contextmanager
def readonly(path: Path, *, immutable: bool = False) -> Iterator[sqlite3.Connection]:
    """A read-only connection of `database.connect_readonly`; SQLite's errors are classified."""
    try:
        connection = database.connect_readonly(path, immutable=immutable)
        try:
            yield connection
        finally:
            database.close(connection)
    except sqlite3.Error as error:
        raise classify(error) from error


def damage(connection: sqlite3.Connection) -> list[str]:
    """What `PRAGMA integrity_check` and the foreign keys of our tables complain about."""
    rows = connection.execute(f"PRAGMA integrity_check({_SHOWN_ERRORS:d})").fetchall()
    found = [str(row[0]) for row in rows if row[0] != "ok"]
    for table in ("attempts", "logs"):
        broken = connection.execute(f"PRAGMA foreign_key_check({table})").fetchone()
        if broken is not None:
            found.append(f"a row of {table} names a job that does not exist")
    return found


def schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def schema_complaint(version: int) -> str | None:
    """Why this Orpheus cannot serve a schema of that version, or None."""
    if version == 0:
        return "it is not a database of Orpheus"
    if version > latest_version():
        return (
            f"it has schema {version}, newer than this Orpheus knows ({latest_version()}): "
            "install the newer version again"
        )
    return None


def contents(connection: sqlite3.Connection) -> Contents:
    """Read them; the file must be one of ours."""
    meta = dict(connection.execute("SELECT key, value FROM meta"))
    jobs = connection.execute("SELECT total(n) FROM counters").fetchone()[0]
    seq = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return Contents(
        str(meta["database_id"]),
        int(meta["restores"]),
        schema_version(connection),
        int(jobs),
        int(seq[0]) if seq else 0,
    )

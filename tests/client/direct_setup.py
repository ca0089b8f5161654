"""A data folder for the direct client's tests, and a stranger's look at its database."""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orpheus import DirectClient
from orpheus.clock import SystemClock
from orpheus.settings import load_settings, prepare_data_dir
from orpheus.store.migrate import migrate


@dataclass
class Folder:
    """A data folder with Orpheus' schema and an application's tables in the same file."""

    data_dir: Path

    @property
    def database(self) -> Path:
        return self.data_dir / "orpheus.db"

    @property
    def gate(self) -> Path:
        return self.data_dir / "orpheus.gate"

    def client(self, **options: Any) -> DirectClient:
        return DirectClient(self.data_dir, handlers=(), **options)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.database) as connection:
            found = connection.execute(sql).fetchall()
        connection.close()
        return found

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])

    def script(self, sql: str) -> None:
        connection = sqlite3.connect(self.database)
        connection.executescript(sql)
        connection.close()

    @contextmanager
    def gate_held(self) -> Iterator[None]:
        """Somebody else is inside the gate."""
        descriptor = os.open(self.gate, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    def gate_is_free(self) -> bool:
        descriptor = os.open(self.gate, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True


APP = """
CREATE TABLE orders (id INTEGER PRIMARY KEY AUTOINCREMENT, item TEXT UNIQUE, price REAL, raw BLOB);
CREATE TABLE lines (
    order_id INTEGER REFERENCES orders (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
);
CREATE VIRTUAL TABLE notes USING fts5(text);
CREATE TABLE traps (x);
CREATE TRIGGER trap AFTER INSERT ON traps BEGIN DELETE FROM jobs; END;
"""


def make_folder(tmp_path: Path) -> Folder:
    settings = load_settings({"data_dir": "data"}, cwd=tmp_path, environ={})
    previous = os.umask(0o077)
    os.umask(previous)
    prepare_data_dir(settings)
    os.umask(previous)
    migrate(settings, SystemClock())
    folder = Folder(settings.data_dir)
    folder.script(APP)
    return folder

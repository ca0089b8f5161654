"""The store's own statements, recorded from a real run of its verbs and replayed bare.

The recorder runs the verbs on one copy of a database and notes every statement with its
parameters, transaction by transaction. The replay executes exactly those on an equal copy: same
SQL, rows, transactions and durability, and nothing else: that is the limit of the store.
"""

from __future__ import annotations

import contextlib
import pickle
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Step = tuple[str, Any, bool]  # SQL, parameters, whether for many rows
Turns = list[list[Step]]


@dataclass
class Recorder:
    """Statements of the transactions of one connection, since the last `take`."""

    turns: Turns = field(default_factory=list)
    _open: list[Step] | None = None

    def note(self, sql: str, parameters: Any, many: bool) -> None:
        """A statement is about to run."""
        word = sql.lstrip()[:8].split()[0].rstrip(";").upper() if sql.strip() else ""
        if word == "BEGIN":
            self._open = []
        elif word == "COMMIT":
            if self._open:
                self.turns.append(self._open)
            self._open = None
        elif word == "ROLLBACK":
            self._open = None
        elif self._open is not None:
            self._open.append((sql, parameters, many))

    def take(self) -> Turns:
        """What was noted so far; begins anew."""
        turns, self.turns = self.turns, []
        return turns


@contextlib.contextmanager
def recorded() -> Iterator[Recorder]:
    """Connections opened in this block note their statements."""
    recorder = Recorder()

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
            recorder.note(sql, parameters, False)
            super().execute(sql, parameters)
            return self

        def executemany(self, sql: str, parameters: Any, /) -> Cursor:
            rows = list(parameters)
            recorder.note(sql, rows, True)
            super().executemany(sql, rows)
            return self

    class Connection(sqlite3.Connection):
        def cursor(self, *arguments: Any, **named: Any) -> Any:
            return super().cursor(*(arguments or (named.get("factory", Cursor),)))

        def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
            return self.cursor(Cursor).execute(sql, parameters)  # type: ignore[no-any-return]

        def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
            return self.cursor(Cursor).executemany(sql, parameters)  # type: ignore[no-any-return]

    plain = sqlite3.connect

    def connect(*arguments: Any, **named: Any) -> sqlite3.Connection:
        named.setdefault("factory", Connection)
        connection: sqlite3.Connection = plain(*arguments, **named)
        return connection

    sqlite3.connect = connect  # type: ignore[assignment]
    try:
        yield recorder
    finally:
        sqlite3.connect = plain


def save(turns: Turns, path: Path) -> None:
    """Keep a recording for a process that replays it."""
    path.write_bytes(pickle.dumps(turns))


def load(path: Path) -> Turns:
    """A recording of `save`."""
    turns: Turns = pickle.loads(path.read_bytes())
    return turns


def run_turn(connection: sqlite3.Connection, turn: list[Step]) -> None:
    """One recorded transaction's statements."""
    for sql, parameters, many in turn:
        if many:
            connection.executemany(sql, parameters)
        else:
            connection.execute(sql, parameters).fetchall()

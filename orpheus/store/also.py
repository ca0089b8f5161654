"""Statements of the user's own that commit together with the jobs of a submit, or not at all.

Called by the client that writes to the file itself. `statement` makes plain values of the
parameters before the gate; `run` lets SQLite judge each statement while compiling it and stops
them all after 50 ms. No user code runs here: the values are of SQLite's own types, so that
sqlite3 asks no adapter, and the connection has no functions, collations or converters in Python.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from orpheus.clock import SECOND_NS
from orpheus.errors import ConfigurationError, StatementRefused, StatementTooSlow
from orpheus.store.migrate import own_tables

LONGEST_NS = SECOND_NS // 20
"""All statements of one submit together."""
MAX_STATEMENTS = 1000
MAX_BYTES = 1 << 20
"""Of one value or statement, given or computed: one SQLite function call cannot be stopped."""

# Between two looks at the clock: some 20 µs of SQLite's work.
_LOOK_EVERY = 1000
_INT64 = range(-(2**63), 2**63)
_ADAPTED = (int, float, str, bytes, bytearray, memoryview, type(None))

Value = None | int | float | str | bytes
Parameters = Sequence[object] | Mapping[str, object]

# What may be compiled; whatever a later SQLite adds is refused until someone has looked at it.
_ALWAYS: Final = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE}
_ON_TABLES: Final = {
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_INSERT,
    sqlite3.SQLITE_UPDATE,
    sqlite3.SQLITE_DELETE,
}
_NO_FUNCTIONS: Final = {"load_extension", "fts3_tokenizer"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement with its values, ready to be bound as they are."""

    sql: str
    parameters: tuple[Value, ...] | dict[str, Value]


def statement(sql: object, parameters: object = ()) -> Statement:
    """Check and convert what the user gave. Raises StatementRefused."""
    if type(sql) is not str or not sql.strip():
        raise StatementRefused("a statement is a string of SQL")
    _check_text(sql)
    if isinstance(parameters, Mapping):
        named = {name: _value(value) for name, value in parameters.items()}
        if any(type(name) is not str for name in named):
            raise StatementRefused("named parameters need strings as names")
        return Statement(sql, named)
    if isinstance(parameters, Sequence) and not isinstance(parameters, str | bytes | bytearray):
        return Statement(sql, tuple(map(_value, parameters)))
    raise StatementRefused("parameters are a tuple, a list or a mapping")


def check_adapters() -> None:
    """Refuse a process in which sqlite3 would call user code for every value we bind."""
    for kind in _ADAPTED:
        if (kind, sqlite3.PrepareProtocol) in sqlite3.adapters:
            raise ConfigurationError(
                f"an sqlite3 adapter is registered for {kind.__name__}; it would run inside "
                "Orpheus' write gate: register one for a type of your own, or submit over HTTP"
            )


def run(connection: sqlite3.Connection, statements: Sequence[Statement]) -> None:
    """Run them in the open transaction.

    Raises StatementRefused or StatementTooSlow, or SQLite's own error with a note that says which
    one it was; the transaction must then be rolled back.
    """
    judge = _Judge()
    # Real time on purpose: the clock of a test stands still, and this must end.
    deadline = time.monotonic_ns() + LONGEST_NS
    index = 0
    previous = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BYTES)
    connection.set_authorizer(judge)
    connection.set_progress_handler(lambda: time.monotonic_ns() > deadline, _LOOK_EVERY)
    try:
        for index, one in enumerate(statements):
            for _ in connection.execute(one.sql, one.parameters):
                pass
            if time.monotonic_ns() > deadline:
                _too_slow(index)
    except sqlite3.Warning as error:  # two statements in one string, before Python 3.12
        raise StatementRefused(f"also[{index}]: {error}; nothing was written") from None
    except sqlite3.Error as error:
        if judge.refused is not None:
            raise StatementRefused(f"also[{index}] {judge.refused}; nothing was written") from error
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            _too_slow(index, error)
        error.add_note(f"in also[{index}] of an Orpheus submit; nothing was written")
        raise
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(None)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, previous)


class _Judge:
    """What SQLite asks about each thing a statement would do, triggers included."""

    def __init__(self) -> None:
        self._own = own_tables()
        self.refused: str | None = None

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        _database: str | None,
        _trigger: str | None,
    ) -> int:
        if action in _ALWAYS:
            return sqlite3.SQLITE_OK
        if action in _ON_TABLES:
            table = (first or "").lower()
            if table not in self._own and not table.startswith("sqlite_"):
                return sqlite3.SQLITE_OK
            return self._refuse(f"touches {first}, which belongs to Orpheus or SQLite")
        if action == sqlite3.SQLITE_FUNCTION:
            if (second or "").lower() not in _NO_FUNCTIONS:
                return sqlite3.SQLITE_OK
            return self._refuse(f"calls {second}()")
        return self._refuse("is no SELECT, INSERT, UPDATE, DELETE or REPLACE")

    def _refuse(self, why: str) -> int:
        self.refused = self.refused or why
        return sqlite3.SQLITE_DENY


def _value(value: object) -> Value:
    """By exact type: a subclass may bring an adapter or a __conform__ of its own."""
    kind = type(value)
    if value is None or kind is float:
        return value  # type: ignore[return-value]
    if kind is bool:
        return int(value)  # type: ignore[call-overload, no-any-return]
    if kind is int:
        if value not in _INT64:
            raise StatementRefused("an integer parameter does not fit 64 bits")
        return value  # type: ignore[return-value]
    if kind is str:
        return _check_text(value)  # type: ignore[arg-type]
    if kind in (bytes, bytearray, memoryview):
        data = bytes(value)  # type: ignore[call-overload]
        if len(data) > MAX_BYTES:
            raise StatementRefused(f"a parameter has more than {MAX_BYTES} bytes")
        return data  # type: ignore[no-any-return]
    raise StatementRefused(
        f"a parameter is of type {kind.__name__}; convert it to None, bool, int, float, str or "
        "bytes: adapters would run inside the write gate"
    )


def _check_text(text: str) -> str:
    try:
        size = len(text.encode("utf-8"))
    except UnicodeEncodeError:
        raise StatementRefused("a text holds a lone surrogate, which UTF-8 cannot say") from None
    if size > MAX_BYTES:
        raise StatementRefused(f"a text has more than {MAX_BYTES} bytes")
    return text


def _too_slow(index: int, cause: BaseException | None = None) -> NoReturn:
    raise StatementTooSlow(
        f"also[{index}] was still running after {LONGEST_NS // 1_000_000} ms, the longest that "
        "statements may hold the write gate together; nothing was written"
    ) from cause

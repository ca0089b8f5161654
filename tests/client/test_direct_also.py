"""Application rows and jobs in one transaction: together, or not at all."""

from __future__ import annotations

import enum
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus import DirectClient
from orpheus.errors import ConfigurationError, RequestError, StatementRefused, StatementTooSlow
from orpheus.store import also as also_statements
from tests.client.direct_setup import Folder, make_folder

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return make_folder(tmp_path)


@pytest.fixture
def client(folder: Folder) -> Iterator[DirectClient]:
    with folder.client() as client:
        yield client


def submit(client: DirectClient, *also: tuple[object, object]) -> None:
    client.submit("sum_range", {"n": 1}, also=also)  # type: ignore[arg-type]


def test_rows_and_job_commit_together(client: DirectClient, folder: Folder) -> None:
    submit(
        client,
        ("INSERT INTO orders (item, price, raw) VALUES (?, ?, ?)", ("a", 1.5, b"\0")),
        ("INSERT INTO orders (item, price) VALUES (:item, :price)", {"item": "b", "price": True}),
        ("INSERT INTO lines SELECT id FROM orders WHERE item = ?", ["a"]),
        ("UPDATE orders SET price = abs(-2) WHERE item = 'a' RETURNING id", ()),
        ("DELETE FROM orders WHERE item = 'nobody'", ()),
        ("WITH n(x) AS (VALUES (1)) SELECT x FROM n", ()),
    )
    assert folder.rows("SELECT item, price, raw FROM orders") == [("a", 2.0, b"\0"), ("b", 1, None)]
    assert folder.rows("SELECT * FROM lines") == [(1,)]
    assert folder.count("jobs") == 1


def nothing_happened(client: DirectClient, folder: Folder) -> None:
    tables = ("orders", "lines", "notes", "jobs", "events", "counters")
    assert [folder.count(table) for table in tables] == [0] * len(tables)
    assert folder.gate_is_free()
    submit(client, ("INSERT INTO orders (item) VALUES ('works')", ()))
    assert (folder.count("orders"), folder.count("jobs")) == (1, 1)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO orders (item) VALUES ('same')",
        "INSERT OR ROLLBACK INTO orders (item) VALUES ('same')",
        "INSERT INTO lines VALUES (99)",  # a deferred constraint, found by the COMMIT
        "INSERT INTO nowhere VALUES (1)",
        "INSERT INTO orders (item) VALUES (?)",  # a value too few
        "no SQL at all",
    ],
)
def test_a_failing_statement_takes_everything_back(
    client: DirectClient, folder: Folder, sql: str
) -> None:
    with pytest.raises(sqlite3.Error):
        submit(client, ("INSERT INTO orders (item) VALUES ('same')", ()), (sql, ()))
    nothing_happened(client, folder)


def test_the_error_says_which_one(client: DirectClient) -> None:
    with pytest.raises(sqlite3.IntegrityError) as caught:
        submit(client, ("SELECT 1", ()), *[("INSERT INTO orders (item) VALUES ('x')", ())] * 2)
    assert any("also[2]" in note for note in caught.value.__notes__)


def test_a_refused_job_takes_the_rows_back(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORPHEUS_MAX_PENDING", "1")
    with folder.client() as client:
        with pytest.raises(RequestError):
            client.submit_many(
                [{"type": "sum_range", "payload": {"n": 1}}] * 2,
                also=[("INSERT INTO orders (item) VALUES ('x')", ())],
            )
        nothing_happened(client, folder)


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT s",
        "RELEASE s",
        "/* hidden */ COMMIT",
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "PRAGMA synchronous = OFF",
        "PRAGMA data_version = 3",
        "SELECT * FROM pragma_synchronous",
        "VACUUM",
        "ANALYZE",
        "REINDEX",
        "CREATE TABLE more (x)",
        "CREATE TEMP TABLE more (x)",
        "CREATE INDEX more ON orders (price)",
        "DROP TABLE orders",
        "ALTER TABLE orders ADD COLUMN more",
        "DELETE FROM jobs",
        "UPDATE Main.JOBS SET priority = 1",
        "INSERT INTO events (at, event) VALUES (1, 'x')",
        "INSERT INTO orders (item) SELECT type FROM jobs",
        "SELECT (SELECT count(*) FROM attempts)",
        "DELETE FROM sqlite_sequence",
        "SELECT sql FROM sqlite_master",
        "INSERT INTO notes VALUES ('x')",  # a virtual table: code of its own
        "INSERT INTO traps VALUES (1)",  # its trigger deletes jobs
        "SELECT load_extension('x')",
        "INSERT INTO orders (item) VALUES ('a'); COMMIT",
    ],
)
def test_what_may_not_run_is_refused(client: DirectClient, folder: Folder, sql: str) -> None:
    with pytest.raises((StatementRefused, sqlite3.Error)) as caught:
        submit(client, ("INSERT INTO orders (item) VALUES ('before')", ()), (sql, ()))
    if "; COMMIT" not in sql and "VACUUM" not in sql:
        assert isinstance(caught.value, StatementRefused)
    nothing_happened(client, folder)


class Colour(enum.IntEnum):
    RED = 1


class Adapting:
    def __conform__(self, _protocol: object) -> str:
        raise AssertionError("user code in the gate")


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT ?", (Adapting(),)),
        ("SELECT ?", (Colour.RED,)),
        ("SELECT ?", ([1],)),
        ("SELECT ?", (2**63,)),
        ("SELECT ?", ("\ud800",)),
        ("SELECT ?", ("x" * (also_statements.MAX_BYTES + 1),)),
        ("SELECT ?", (bytes(also_statements.MAX_BYTES + 1),)),
        ("SELECT :a", {"a": object()}),
        ("SELECT :a", {1: 1}),
        ("SELECT ?", "a"),
        ("SELECT ?", iter([1])),
        (b"SELECT 1", ()),
        ("  ", ()),
    ],
)
def test_parameters_are_plain_values(
    client: DirectClient, folder: Folder, sql: object, parameters: object
) -> None:
    with folder.gate_held(), pytest.raises(StatementRefused, match=r"also\[1\]"):
        submit(client, ("SELECT 1", ()), (sql, parameters))


def test_a_statement_is_a_pair_and_there_are_not_endlessly_many(client: DirectClient) -> None:
    with pytest.raises(StatementRefused, match="no pair"):
        client.submit("sum_range", {"n": 1}, also=["SELECT 1"])  # type: ignore[list-item]
    with pytest.raises(StatementRefused, match="at most 1000"):
        submit(client, *[("SELECT 1", ())] * 1001)


def test_an_adapter_for_plain_values_is_refused(
    client: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sqlite3 would call it for every value that anybody binds, inside the gate."""
    adapters: dict[Any, Any] = sqlite3.adapters
    monkeypatch.setitem(adapters, (str, sqlite3.PrepareProtocol), str)
    with pytest.raises(ConfigurationError, match="adapter is registered for str"):
        client.submit("sum_range", {"n": 1})


@pytest.mark.parametrize(
    "statements",
    [
        [(ENDLESS, ())],
        [
            (
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 20000) "
                "SELECT max(x) FROM n",
                (),
            )
        ]
        * 200,
    ],
    ids=["one that never ends", "many short ones"],
)
def test_fifty_milliseconds_and_no_more(
    client: DirectClient, folder: Folder, statements: list[tuple[str, tuple[()]]]
) -> None:
    with pytest.raises(StatementTooSlow, match="50 ms"):
        submit(client, ("INSERT INTO orders (item) VALUES ('before')", ()), *statements)
    nothing_happened(client, folder)


def test_no_value_grows_beyond_what_can_be_stopped(client: DirectClient, folder: Folder) -> None:
    with pytest.raises(sqlite3.DataError, match="too big"):
        submit(client, ("SELECT hex(zeroblob(900000000))", ()))
    nothing_happened(client, folder)


def test_the_limits_are_for_statements_only(client: DirectClient) -> None:
    submit(client, ("SELECT 1", ()))
    text = "x" * 900_000
    items = client.submit_many([{"type": "wordcount", "payload": {"text": text}}] * 5)
    assert len(items) == 5

"""Rules of the house that no general linter knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

LONGEST_FILE = 400

# A call or a name -> (why it is banned, the files in which it is at home).
BANNED: dict[str, tuple[str, set[str]]] = {
    "time.time": ("time comes from clock.py", {"orpheus/clock.py"}),
    "time.time_ns": ("time comes from clock.py", {"orpheus/clock.py"}),
    "datetime.now": ("time comes from clock.py", {"orpheus/clock.py"}),
    "datetime.utcnow": ("time comes from clock.py", {"orpheus/clock.py"}),
    "eval": ("data stays data", set()),
    "exec": ("data stays data", set()),
    "pickle.loads": ("data stays data", set()),
    "pickle.load": ("data stays data", set()),
    "marshal.loads": ("data stays data", set()),
    "yaml.load": ("data stays data", set()),
    "os.system": ("no shell", set()),
    "os.fork": ("only ipc/process.py forks", {"orpheus/ipc/process.py"}),
    "asyncio.get_event_loop": ("ask for the running loop", set()),
}
BANNED_IMPORTS = {"pickle", "marshal", "shelve", "multiprocessing", "yaml"}
# `BEGIN` opens a transaction; only the one place that holds the gate may.
BEGIN_AT_HOME = {"orpheus/store/gate.py"}


def sources(root: Path, *folders: str) -> Iterator[tuple[str, str]]:
    for folder in folders:
        for path in sorted((root / folder).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")


def test_no_file_is_two_ideas(project_root: Path) -> None:
    long = {
        name: count
        for name, text in sources(project_root, "orpheus", "scripts", "tests")
        if (count := len(text.splitlines())) > LONGEST_FILE
    }
    assert not long


def test_every_module_says_what_it_is(project_root: Path) -> None:
    silent = [
        name
        for name, text in sources(project_root, "orpheus", "scripts")
        if text.strip() and ast.get_docstring(ast.parse(text)) is None
    ]
    assert not silent


def test_no_banned_call(project_root: Path) -> None:
    wrong = [
        f"{name}:{line} {call}: {BANNED[call][0]}"
        for name, text in sources(project_root, "orpheus")
        for line, call in banned_calls(text)
        if name not in BANNED[call][1]
    ]
    assert not wrong, "\n".join(wrong)


def banned_calls(text: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Call):
            call = ast.unparse(node.func)
            found = next((ban for ban in BANNED if call == ban or call.endswith(f".{ban}")), None)
            if found and not (found in ("eval", "exec") and call != found):
                yield node.lineno, found


def test_no_banned_import(project_root: Path) -> None:
    wrong = [
        f"{name}:{node.lineno}"
        for name, text in sources(project_root, "orpheus")
        for node in ast.walk(ast.parse(text))
        if (isinstance(node, ast.Import) and {n.name for n in node.names} & BANNED_IMPORTS)
        or (isinstance(node, ast.ImportFrom) and node.module in BANNED_IMPORTS)
    ]
    assert not wrong


def test_only_the_gate_begins_a_transaction(project_root: Path) -> None:
    wrong = [
        f"{name}:{line} {text}"
        for name, source in sources(project_root, "orpheus")
        if name not in BEGIN_AT_HOME
        for line, text in executed_strings(source)
        if re.match(r"\s*(BEGIN|COMMIT|ROLLBACK)\b", text, re.IGNORECASE)
    ]
    assert not wrong, "\n".join(wrong)


_IS_SQL = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\s")


def test_only_the_store_has_sql(project_root: Path) -> None:
    found = {
        f"{name}:{line}"
        for name, source in sources(project_root, "orpheus")
        if "/store/" not in name
        for line in statements_in(source)
    }
    assert not found


def statements_in(source: str) -> Iterator[int]:
    """Lines of strings that are SQL."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and _IS_SQL.match(str(node.value)):
            yield node.lineno


def test_the_rule_of_the_store_itself() -> None:
    assert list(statements_in('X = """\nSELECT id FROM attempts WHERE id > ?\n"""')) == [1]
    assert not list(statements_in('"Select a job"; "WITHOUT"'))


def executed_strings(source: str) -> Iterator[tuple[int, str]]:
    """The literal SQL handed to execute, executemany and executescript."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in ("execute", "executemany", "executescript") or not node.args:
            continue
        sql = node.args[0]
        if isinstance(sql, ast.Constant) and isinstance(sql.value, str):
            yield node.lineno, sql.value


def test_no_value_is_formatted_into_sql(project_root: Path) -> None:
    """An f-string handed to execute may only splice names we wrote: constants in capitals."""
    wrong = [
        f"{name}:{line} {{{spliced}}}"
        for name, text in sources(project_root, "orpheus")
        for line, spliced in spliced_into_sql(text)
    ]
    assert not wrong, "\n".join(wrong)


def spliced_into_sql(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr not in ("execute", "executemany", "executescript") or not node.args:
            continue
        sql = node.args[0]
        # PRAGMA takes no parameters, so there a value can only be spliced.
        if not isinstance(sql, ast.JoinedStr) or ast.unparse(sql)[2:].startswith("PRAGMA"):
            continue
        for part in sql.values:
            if isinstance(part, ast.FormattedValue):
                spliced = ast.unparse(part.value)
                if not re.fullmatch(r"[A-Z_][A-Z0-9_.]*", spliced):
                    yield node.lineno, spliced


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time\ntime.time()", ["time.time"]),
        ("import datetime\ndatetime.datetime.now()", ["datetime.now"]),
        ("eval('1')", ["eval"]),
        ("regex.eval('1')", []),
        ("time.monotonic()", []),
    ],
)
def test_the_ban_itself(source: str, found: list[str]) -> None:
    assert [call for _, call in banned_calls(source)] == found


def test_the_sql_rule_itself() -> None:
    assert list(spliced_into_sql("c.execute(f'SELECT {COLUMNS} FROM jobs WHERE id = {x}')")) == [
        (1, "x")
    ]

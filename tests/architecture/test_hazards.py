"""docs/hazards.md has every row once, and every test it names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROWS = {"A": 20, "B": 19, "C": 8, "D": 18, "E": 3, "P": 12, "I": 27, "J": 14}
CITED = re.compile(r"`([\w/]+\.py)((?:::\w+)+)`( \(long\))?")
ELSEWHERE = ("**Excluded", "**Not there")


@pytest.fixture
def rows(project_root: Path) -> list[tuple[str, str]]:
    """(id, the whole line) of each row."""
    text = (project_root / "docs" / "hazards.md").read_text(encoding="utf-8")
    return re.findall(r"^(?=\|)(?=\| ([A-Z]\d+) \|)(.*)$", text, re.MULTILINE)


def test_each_hazard_has_one_row(rows: list[tuple[str, str]]) -> None:
    wanted = [f"{prefix}{n}" for prefix, count in ROWS.items() for n in range(1, count + 1)]
    assert [id_ for id_, _ in rows] == wanted


def test_each_row_is_shown_or_says_why_not(rows: list[tuple[str, str]]) -> None:
    bare = [id_ for id_, row in rows if not (CITED.search(row) or any(e in row for e in ELSEWHERE))]
    assert not bare


def test_what_a_row_names_is_there(rows: list[tuple[str, str]], project_root: Path) -> None:
    wrong = []
    for id_, row in rows:
        # One that is written otherwise would go unseen.
        assert len(CITED.findall(row)) == row.count(".py"), id_
        for path, name, long in CITED.findall(row):
            found = collected_from(project_root / "tests" / path).get(name.removeprefix("::"))
            if found is None:
                wrong.append(f"{id_}: there is no {path}{name}")
            elif found is not bool(long):
                wrong.append(f"{id_}: {path}{name} is {'' if found else 'not '}marked long")
    assert not wrong, "\n".join(wrong)


@cache
def collected_from(path: Path) -> dict[str, bool]:
    """The tests of a file by their names, and whether they are too long for the default suite."""
    if not path.is_file():
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    whole = any(is_long(node) for node in tree.body if is_mark(node))
    found: dict[str, bool] = {}
    for name, test in (one for node in tree.body for one in named(node)):
        # Nothing else is collected, however it is cited.
        if name.rpartition("::")[2].startswith(("test_", "Test")):
            decorators = getattr(test, "decorator_list", [])
            found[name] = whole or any(map(is_long, decorators))
    return found


def named(node: ast.stmt) -> list[tuple[str, ast.stmt]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [(node.name, node)]
    if isinstance(node, ast.ClassDef):
        methods = [name for one in node.body for name in named(one)]
        return [(f"{node.name}::{name}", test) for name, test in methods]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        # `TestStore = StoreMachine.TestCase`
        return [(node.targets[0].id, node)]
    return []


def is_mark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"


def is_long(node: ast.AST) -> bool:
    return "pytest.mark.long" in ast.unparse(node)


def test_the_reader_itself(tmp_path: Path) -> None:
    path = tmp_path / "test_it.py"
    path.write_text(
        "import pytest\n"
        "@pytest.mark.long\ndef test_a(): ...\n"
        "class TestB:\n    @pytest.mark.parametrize('x', [1])\n    async def test_c(self): ...\n"
        "TestD = object\n"
        "def helper(): ...\n"
    )
    assert collected_from(path) == {"test_a": True, "TestB::test_c": False, "TestD": False}
    assert collected_from(tmp_path / "none.py") == {}

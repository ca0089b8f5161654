"""The catalogue of planted bugs fits the code as it is now; whether each is caught, a run says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from planted.bug import Bug, Stale
from planted.catalogue import BUGS, EXCLUDED
from planted.report import markdown
from planted.trial import CAUGHT, SURVIVED


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_a_bug_fits_the_code(project_root: Path, bug: Bug) -> None:
    planted = bug.planted((project_root / bug.file).read_text(encoding="utf-8"))
    if bug.file.endswith(".py"):
        compile(planted, bug.file, "exec")
    assert bug.find != bug.put
    files = [part for part in bug.selection if part.startswith("tests/")]
    assert files
    assert not [file for file in files if not (project_root / file).exists()]


def test_each_has_a_name_of_its_own() -> None:
    assert len({bug.id for bug in BUGS}) == len(BUGS)
    assert len({(bug.file, bug.find, bug.put) for bug in BUGS}) == len(BUGS)


@pytest.mark.parametrize(
    "promise",
    [
        *(f"law {n}" for n in range(1, 11)),
        *(f"protocol {letter}" for letter in "ABCDEFG"),
        *("ADR 0002", "ADR 0013", "ADR 0014", "ADR 0017"),
    ],
)
def test_every_promise_is_attacked(promise: str) -> None:
    assert [bug for bug in BUGS if promise in re.split(", ", bug.breaks)]


def test_code_that_moved_on_is_told() -> None:
    bug = Bug("some", "law 1", "It fails.", "orpheus/log.py", "old", "new", "tests/unit")
    with pytest.raises(Stale, match="0 times"):
        bug.planted("moved on")
    with pytest.raises(Stale, match="2 times"):
        bug.planted("old and old")


def test_the_table_says_what_was_found_and_what_was_not_run() -> None:
    first, second, third, *_ = BUGS
    line = {"commit": "abc", "seconds": 1.5, "hung": False}
    page = markdown(
        {
            first.id: {**line, "verdict": CAUGHT, "test": "tests/store/test_gate.py::test_some[1]"},
            second.id: {**line, "verdict": SURVIVED, "test": ""},
        }
    )
    rows = {row.split("`")[1]: row for row in page.splitlines() if re.match(r"\| .*`", row)}
    assert "`store/test_gate.py::test_some`" in rows[first.id]
    assert "**survived**" in rows[second.id]
    assert "not run" in rows[third.id]
    assert f"{len(BUGS)} bugs: 1 caught" in page
    assert all(one.what in page for one in EXCLUDED)

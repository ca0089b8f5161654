"""The documents say what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from orpheus.domain.job import JobState
from orpheus.domain.transitions import TRANSITIONS
from orpheus.settings import SETTING_NAMES, load_settings


def read(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


def test_states_md_has_exactly_the_legal_transitions(project_root: Path) -> None:
    text = read(project_root, "docs/states.md")
    table = text.partition("<!-- transitions -->")[2].partition("<!-- /transitions -->")[0]
    documented = {}
    for line in table.strip().splitlines()[2:]:
        before, after, reasons = (cell.strip() for cell in line.strip("|").split("|"))
        source = None if before == "(submit)" else JobState(before.strip("`"))
        documented[source, JobState(after.strip("`"))] = set(re.findall(r"`(\w+)`", reasons))
    assert documented == TRANSITIONS


def test_states_md_explains_every_state(project_root: Path) -> None:
    text = read(project_root, "docs/states.md").partition("## Every legal")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) == set(JobState)


def test_the_readme_lists_every_setting_with_its_default(project_root: Path) -> None:
    text = read(project_root, "README.md")
    rows = dict(re.findall(r"^\| `ORPHEUS_(\w+)` \| (.+?) \|", text, re.MULTILINE))
    assert {name.lower() for name in rows} == set(SETTING_NAMES)
    defaults = load_settings(cwd=Path("/"), environ={})
    for name, shown in rows.items():
        value = getattr(defaults, name.lower())
        if name in ("DATA_DIR", "PROCESSES") or value in (None, ()):
            continue
        plain = f"{value:g}" if isinstance(value, float) else str(value)
        assert shown.strip("`").replace(",", "") == plain, name


def test_the_readme_promises_in_the_exact_words(project_root: Path) -> None:
    promise = (
        "at-least-once execution; on one host at most one attempt of a job at a time; exactly one "
        "recorded terminal state; an acknowledged job is never lost by the death of any process, "
        "nor by power loss"
    )
    text = " ".join(read(project_root, "README.md").replace("\n> ", " ").split())
    assert promise in text
    assert "exactly-once execution" not in text


@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/states.md",
        "docs/backup.md",
        "docs/guarantees.md",
        "CHANGELOG.md",
        "supervisord.conf",
    ],
)
def test_every_file_a_document_names_exists(project_root: Path, name: str) -> None:
    text = read(project_root, name)
    folder = (project_root / name).parent
    linked = [target for target in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in target]
    named = re.findall(r"`((?:orpheus|config|docs|scripts|tests)/[\w./-]+)`", text)
    missing = [target for target in linked if not (folder / target).exists()]
    missing += [target for target in named if not (project_root / target).exists()]
    assert not missing

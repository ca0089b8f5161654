"""One real system for all tests of this folder, with the README's own handlers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.system import System

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(root: Path, language: str) -> list[str]:
    """The README's code blocks of one language."""
    text = (root / "README.md").read_text(encoding="utf-8")
    return [body for kind, body in FENCE.findall(text) if kind == language]


@pytest.fixture(scope="session")
def system(project_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("acceptance")
    handlers = [block for block in blocks(project_root, "python") if "@job" in block]
    (folder / "jobs.py").write_text("\n\n".join(handlers), encoding="utf-8")
    with System(folder, handlers="jobs,orpheus.handlers.samples") as running:
        yield running

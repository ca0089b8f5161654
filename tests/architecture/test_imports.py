"""Imports point downwards only, type-only and lazy ones included; the master loads no SQLite."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# From the top down; a name may import what is in a later row, and its own package.
LAYERS = (
    {"cli", "testing"},
    {"api", "worker", "maintenance", "pool", "client"},
    {"feed", "handlers"},
    {"store"},
    {"ipc"},
    {"domain"},
    {"log", "settings", "clock", "errors", "absent"},
)
FORBIDDEN = {
    "pool": {"store", "handlers", "domain", "feed"},
    "handlers": {"store", "ipc"},
    "domain": {"log", "settings"},
}
# In the lowest row a module may import the ones named here.
LOWEST = {"errors": set(), "clock": set(), "log": set(), "settings": {"errors"}, "absent": set()}
# The public face is above everything, and nothing inside imports it.
FACE = "__init__"
EDGES_ONLY = {"fastapi", "starlette", "uvicorn", "jinja2", "websockets"}


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for path in sorted((root / "orpheus").rglob("*.py")):
        yield path.relative_to(root / "orpheus").parts[0].removesuffix(".py"), path


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    package = ".".join(path.relative_to(root).with_suffix("").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield from ((node.lineno, f"{base}.{name.name}") for name in node.names)


def level(part: str) -> int | None:
    return next((n for n, names in enumerate(LAYERS) if part in names), None)


def complaint(part: str, target: str) -> str | None:
    """Why `orpheus.<part>` may not import `orpheus.<target>`, or None."""
    if part in (target, FACE):
        return None
    here, there = level(part), level(target)
    if here is None or there is None:
        return f"{part if here is None else target} is in no layer"
    if here == there == len(LAYERS) - 1:
        return None if target in LOWEST[part] else "the lowest modules stand alone"
    if there <= here:
        return "upwards or to a sibling"
    if target in FORBIDDEN.get(part, set()):
        return "forbidden by the design"
    return None


def test_imports_point_downwards(project_root: Path) -> None:
    wrong = []
    for part, path in modules(project_root):
        for line, name in imports(path, project_root):
            if name == "orpheus" or name.startswith("orpheus."):
                target = name.split(".")[1] if "." in name else FACE
                if level(target) is None:
                    reason = None if part == FACE else "the package root is for users"
                else:
                    reason = complaint(part, target)
                if reason:
                    wrong.append(f"{path.relative_to(project_root)}:{line} {name}: {reason}")
    assert not wrong, "\n".join(wrong)


def test_web_frameworks_stay_at_the_edge(project_root: Path) -> None:
    wrong = [
        f"{path.relative_to(project_root)}:{line} {name}"
        for part, path in modules(project_root)
        for line, name in imports(path, project_root)
        if name.split(".")[0] in EDGES_ONLY and part != "api"
    ]
    assert not wrong, "\n".join(wrong)


def test_the_domain_is_pure(project_root: Path) -> None:
    allowed = sys.stdlib_module_names - {"os", "socket", "sqlite3", "subprocess", "threading"}
    wrong = [
        f"{path.relative_to(project_root)}:{line} {name}"
        for part, path in modules(project_root)
        for line, name in imports(path, project_root)
        if part == "domain" and name.split(".")[0] not in allowed | {"orpheus"}
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("part", "target", "legal"),
    [
        ("api", "store", True),
        ("cli", "errors", True),
        ("store", "api", False),
        ("api", "worker", False),
        ("feed", "handlers", False),
        ("pool", "store", False),
        ("pool", "ipc", True),
        ("handlers", "ipc", False),
        ("errors", "clock", False),
        ("settings", "errors", True),
        ("worker", "worker", True),
        ("worker", "novelty", False),
    ],
)
def test_the_rule_itself(part: str, target: str, legal: bool) -> None:
    assert (complaint(part, target) is None) is legal


def test_the_master_loads_neither_sqlite_nor_store_nor_handlers(
    project_root: Path, tmp_path: Path
) -> None:
    """Runs `orpheus worker` up to the point where the master would begin."""
    program = """
import sys
import orpheus.pool.master as master

def run(spec):
    heavy = ("sqlite3", "_sqlite3", "aiosqlite", "fastapi", "uvicorn", "httpx",
             "orpheus.store", "orpheus.handlers", "orpheus.worker", "orpheus.maintenance",
             "orpheus.api", "orpheus.domain")
    print(sorted(set(heavy) & set(sys.modules)))
    return 0

master.run = run
sys.argv = ["orpheus", "worker"]
from orpheus.cli.main import run as cli
cli()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "ORPHEUS_DATA_DIR": str(tmp_path / "data")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

"""The two commands from a fresh copy: a long path with spaces, from another folder, twice."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.waiting import eventually

pytestmark = [pytest.mark.supervisor, pytest.mark.timeout(300)]

NOT_COPIED = (".venv", ".git", "var", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis")


def test_start_start_stop_in_a_fresh_checkout(project_root: Path, tmp_path: Path) -> None:
    checkout = tmp_path / ("a fresh checkout" + " with a long path" * 6) / "orpheus"
    assert len(str(checkout)) > 120
    shutil.copytree(project_root, checkout, ignore=shutil.ignore_patterns(*NOT_COPIED))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    port = free_port()
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("ORPHEUS_", "SUPERVISOR"))},
        "ORPHEUS_PORT": str(port),
        "ORPHEUS_PROCESSES": "2",
    }

    def run(*command: str, cwd: Path = elsewhere) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    expected = f'{{"sum": 5000050000}}\n{{"count": 5}}\nDashboard: http://127.0.0.1:{port}/\n'
    try:
        begun = time.monotonic()
        first = run(str(checkout / "scripts" / "start"))
        assert (first.returncode, first.stdout) == (0, expected), first.stderr
        assert time.monotonic() - begun < 120

        begun = time.monotonic()
        second = run(str(checkout / "scripts" / "start"))
        assert (second.returncode, second.stdout) == (0, expected), second.stderr
        assert time.monotonic() - begun < 10

        status = run(".venv/bin/supervisorctl", "status", cwd=checkout)
        assert status.stdout.count("RUNNING") == 2, status.stdout + status.stderr
    finally:
        stopped = run(str(checkout / "scripts" / "stop"))
    assert stopped.returncode == 0, stopped.stderr
    mark = f"ORPHEUS_PORT={port}".encode()
    eventually(lambda: not _carrying(mark), timeout=5)


def _carrying(mark: bytes) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark in path.read_bytes().split(b"\0"):
                found.append((path.parent / "cmdline").read_text(errors="replace"))
        except OSError:
            continue
    return found

"""What each process of an idle system has loaded: what it has no use for would stay in memory.

Each is started as in life, up to the point where it would begin its work.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

# None of the processes needs these before somebody opens the dashboard.
NOWHERE = {"rich", "pygments", "greenlet", "jinja2", "pydantic.v1", "pydantic_settings", "httpx"}
# The http process' own.
HTTP = {"fastapi", "starlette", "uvicorn", "uvloop", "prometheus_client", "aiosqlite"}

PRELUDE = """
import json
import os
import sys
import orpheus.cli.main

def report(*_args, **_kwargs):
    os.write(1, json.dumps(sorted(sys.modules)).encode())
    return 0
"""
MASTER = """
import orpheus.pool.master
orpheus.pool.master.run = report
"""
MAINTENANCE = """
import orpheus.pool.master

def run(spec):
    import orpheus.maintenance.main
    orpheus.maintenance.main.main = report
    return spec.maintenance(None)

orpheus.pool.master.run = run
"""
WORKER = """
import orpheus.pool.master

def run(spec):
    import orpheus.worker.main
    def main(_seat, settings):
        orpheus.worker.main.load_registry(settings)
        return report()
    orpheus.worker.main.main = main
    return spec.worker(None)

orpheus.pool.master.run = run
"""
# Forked before the http process loads what it serves with.
WRITER = """
import orpheus.api.main
orpheus.api.main.serve = report
"""
HTTP_PROCESS = """
import asyncio
asyncio.Runner.run = lambda _self, coroutine: (coroutine.close(), report())[1]
"""


def loaded(folder: Path, command: str, patch: str, *options: str) -> set[str]:
    program = (
        PRELUDE + patch + f"sys.argv = {['orpheus', command, *options]!r}\norpheus.cli.main.run()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "ORPHEUS_DATA_DIR": str(folder / "data")},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("command", "patch"),
    [("worker", MASTER), ("worker", MAINTENANCE), ("worker", WORKER), ("api", WRITER)],
    ids=["master", "maintenance", "worker", "writer"],
)
def test_processes_without_requests(tmp_path: Path, command: str, patch: str) -> None:
    options = ("--port", "0") if command == "api" else ()
    modules = loaded(tmp_path, command, patch, *options)
    assert not modules & (NOWHERE | HTTP)
    assert "structlog" in modules, "the list says nothing"


def test_the_http_process(tmp_path: Path) -> None:
    modules = loaded(tmp_path, "api", HTTP_PROCESS, "--port", "0")
    assert not modules & NOWHERE
    assert modules >= HTTP, "the list says nothing"

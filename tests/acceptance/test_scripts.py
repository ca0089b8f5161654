"""scripts/acceptance and scripts/loadtest.py: green on a sound system, red on a lying one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.fake_api import Answer, Request, fake_api
from tests.support.ports import free_port
from tests.support.system import System


def script(
    name: str, *arguments: str, cwd: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    path = Path(__file__).resolve().parents[2] / "scripts" / name
    return subprocess.run(
        [sys.executable, str(path), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_acceptance_of_a_sound_system(system: System) -> None:
    done = script("acceptance.py", system.url, cwd=system.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("passed, 0 failed, 0 skipped\n")


def test_acceptance_of_nobody(tmp_path: Path) -> None:
    done = script("acceptance.py", f"http://127.0.0.1:{free_port()}", cwd=tmp_path)
    assert done.returncode == 1
    assert "ConnectError" in done.stdout


@pytest.mark.processes
@pytest.mark.timeout(120)
def test_a_load_is_done_and_right(system: System) -> None:
    arguments = ("--url", system.url, "--clients", "20", "--jobs", "500", "--json")
    done = script("loadtest.py", *arguments, cwd=system.folder)
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    assert document["acknowledged"] == document["right"] == 500
    assert document["statuses"] == {"200": 500, "201": 500}
    assert set(document["submit_ms"]) == {"p50", "p90", "p99", "max"}
    assert document["submit_to_done_ms"]["p50"] > 0


def lying(get: Answer, post: Answer | None = None) -> Any:
    def answer(request: Request) -> Answer:
        return get if request.method == "GET" else post or Answer(201, {"id": 1})

    return fake_api(answer)


FINISHED = {
    "id": 1,
    "state": "done",
    "error": None,
    "created_at": "2026-01-01T00:00:00.000000Z",
    "finished_at": "2026-01-01T00:00:01.000000Z",
}


@pytest.mark.parametrize(
    ("get", "post", "problem"),
    [
        (Answer(200, {**FINISHED, "result": {"sum": -1}}), None, "wrong result"),
        (Answer(200, {**FINISHED, "state": "failed", "result": None}), None, "ended failed"),
        (Answer(404, {"code": "not_found"}), None, "lost"),
        (Answer(200, {**FINISHED, "state": "pending"}), None, "not finished in time"),
        (Answer(503, {}), None, "get answered 503"),
        (Answer(200, {}), Answer(503, {}), "submit answered 503"),
        (Answer(drop=True), None, "connection broken"),
    ],
)
def test_a_load_notices(get: Answer, post: Answer | None, problem: str, tmp_path: Path) -> None:
    with lying(get, post) as api:
        arguments = ("--clients", "2", "--jobs", "4", "--timeout", "0.1", "--json")
        done = script("loadtest.py", "--url", api.url, *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert problem in json.loads(done.stdout)["problems"]

"""What the README shows, done literally; only the port is another one."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import blocks
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "http://127.0.0.1:8000"


def shown(program: str) -> list[tuple[str, str]]:
    """`(command, output)` of the README's `$ program …` lines; "" where it shows no output."""
    found: list[tuple[str, str]] = []
    for block in blocks(ROOT, "console"):
        for part in ("\n" + block).split("\n$ ")[1:]:
            command, _, output = part.partition("\n")
            if shlex.split(command)[0] == program:
                found.append((command, output.strip()))
    return found


def run(system: System, command: str) -> str:
    environment = {
        **system.environment,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", "-c", command.replace(ADDRESS, system.url)],
        cwd=system.folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_lines_to_run() -> None:
    assert len(shown("curl")) >= 10
    assert shown(".venv/bin/orpheus")


@pytest.mark.parametrize("command", [command for command, _ in shown("curl")])
def test_a_curl_line_answers_and_is_not_refused(system: System, command: str) -> None:
    with system.client() as client:
        client.wait(client.submit("wordcount", {"text": "so that job 1 exists"})["id"], timeout=20)
    out = run(system, command)
    if command.endswith("/metrics"):
        assert "orpheus_jobs{" in out
        return
    answer = json.loads(out)
    assert "code" not in answer, answer
    assert out.endswith("\n")


def test_the_first_job_of_the_readme_is_done(system: System) -> None:
    command, output = shown("curl")[0]
    answer = json.loads(run(system, command))
    promised = json.loads(output.replace(", ...}", "}"))
    del promised["id"]
    assert promised.items() <= answer.items()


def test_the_shell_lines_print_what_is_shown(system: System) -> None:
    for command, output in shown(".venv/bin/orpheus"):
        said = run(system, command.replace(".venv/bin/orpheus", "orpheus"))
        assert said.strip() == output


def test_the_client_block_prints_the_sum(
    system: System, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORPHEUS_URL", system.url)
    (block,) = [block for block in blocks(ROOT, "python") if "with Client()" in block]
    exec(compile(block, "README.md", "exec"), {})
    assert capsys.readouterr().out == "{'sum': 5000050000}\n"


def test_the_second_handler_of_the_readme_works(system: System) -> None:
    with system.client() as client:
        good = client.wait(client.submit("resize", {"path": "a.png"})["id"], timeout=20)
        bad = client.wait(client.submit("resize", {"path": "a.gif"})["id"], timeout=20)
        # Output is stored within a moment of the job's end, not before it.
        eventually(lambda: len(client.logs(good["id"])) == 10, timeout=5)
    assert good["result"] == {"path": "a.png"}
    assert (bad["state"], bad["error"]["message"]) == ("failed", "only PNG")

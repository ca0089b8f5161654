"""The commands that talk HTTP: what they print and which code they end with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orpheus.cli import main
from tests.support.fake_api import Answer, Request, fake_api
from tests.support.ports import free_port

DONE = {
    "id": 7,
    "type": "sum_range",
    "queue": "default",
    "state": "done",
    "attempt": 1,
    "payload": {"n": 3},
    "result": {"sum": 6},
    "error": None,
    "created_at": "2026-01-01T00:00:00.000000Z",
    "attempts": [
        {
            "attempt": 1,
            "worker": "main-1",
            "outcome": "done",
            "started_at": "2026-01-01T00:00:00.000000Z",
            "finished_at": "2026-01-01T00:00:01.000000Z",
            "exit": None,
        }
    ],
}
FAILED = {
    **DONE,
    "state": "failed",
    "result": None,
    "error": {"type": "RuntimeError", "message": "no\x1b[2J luck", "kind": "failed"},
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def orpheus(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command in this process; its exit code."""
    monkeypatch.setattr("sys.argv", ["orpheus", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.run()
    code = ended.value.code
    return code if isinstance(code, int) else 0


def serving(document: Any, status: int = 200) -> Any:
    return fake_api(lambda request: Answer(status, document))


def test_submit_prints_the_new_job(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({**DONE, "state": "pending"}, 201) as api:
        arguments = ["sum_range", '{"n": 3}', "--priority", "5", "--tag", "a", "--tag", "b"]
        assert orpheus(monkeypatch, "submit", *arguments, "--url", api.url) == 0
    assert capsys.readouterr().out == "job 7 pending\n"
    assert api.requests[0].body == {
        "type": "sum_range",
        "payload": {"n": 3},
        "priority": 5,
        "tags": ["a", "b"],
    }


def test_submit_wait_prints_the_result_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(DONE) as api:
        assert orpheus(monkeypatch, "submit", "sum_range", "--wait", "--url", api.url) == 0
    assert json.loads(capsys.readouterr().out) == {"sum": 6}


def test_a_job_that_failed_ends_with_1_and_cannot_drive_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(FAILED) as api:
        assert orpheus(monkeypatch, "submit", "sum_range", "--wait", "--url", api.url) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "job 7 failed: RuntimeError: no\\x1b[2J luck\n"


def test_a_wait_that_takes_too_long_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({**DONE, "state": "pending"}) as api:
        arguments = ["--wait", "--wait-timeout", "0.01", "--url", api.url]
        assert orpheus(monkeypatch, "submit", "sum_range", *arguments) == 1
    assert "still pending" in capsys.readouterr().err


@pytest.mark.parametrize("payload", ["[1]", "{", "5"])
def test_a_payload_that_is_no_object_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], payload: str
) -> None:
    assert orpheus(monkeypatch, "submit", "sum_range", payload) == 2
    assert "PAYLOAD" in capsys.readouterr().err


def test_the_payload_can_come_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "payload").write_text('{"n": 4}', encoding="utf-8")
    with serving(DONE, 201) as api, (tmp_path / "payload").open(encoding="utf-8") as source:
        monkeypatch.setattr("sys.stdin", source)
        assert orpheus(monkeypatch, "submit", "sum_range", "-", "--url", api.url) == 0
    assert api.requests[0].body["payload"] == {"n": 4}


def test_jobs_are_aligned_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"items": [DONE], "next_cursor": None}) as api:
        assert orpheus(monkeypatch, "jobs", "--state", "done", "--url", api.url) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == ["ID", "STATE", "TYPE", "QUEUE", "ATTEMPT", "CREATED"]
    assert row.index("done") == header.index("STATE")
    assert api.requests[0].path == "/jobs?limit=50&state=done"


def test_job_shows_its_attempts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving(DONE) as api:
        assert orpheus(monkeypatch, "job", "7", "--url", api.url) == 0
    out = capsys.readouterr().out
    assert '{"sum": 6}' in out
    assert "main-1" in out


@pytest.mark.parametrize("command", ["job", "cancel", "retry"])
def test_json_is_the_answer_of_the_api(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with serving(FAILED) as api:
        assert orpheus(monkeypatch, command, "7", "--json", "--url", api.url) == 0
    assert json.loads(capsys.readouterr().out) == FAILED


def test_cancel_of_a_running_job_says_that_it_was_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({**DONE, "state": "in_progress"}, 202) as api:
        assert orpheus(monkeypatch, "cancel", "7", "--url", api.url) == 0
    assert capsys.readouterr().out == "job 7 in_progress, asked to stop\n"


def test_health_ends_with_1_when_failing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    document = {"status": "failing", "checks": {"database": {"ok": False, "ms": 1000.0}}}
    with serving(document, 503) as api:
        assert orpheus(monkeypatch, "health", "--url", api.url) == 1
    assert capsys.readouterr().out.splitlines() == ["failing", "  database  failing  ms 1000.0"]


def test_a_refusal_is_one_line_and_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving({"code": "not_found", "detail": "there is no job 7"}, 404) as api:
        assert orpheus(monkeypatch, "job", "7", "--url", api.url) == 1
    assert capsys.readouterr().err == "orpheus: there is no job 7 (not_found, HTTP 404)\n"


def test_no_server_is_69(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert orpheus(monkeypatch, "health", "--url", f"http://127.0.0.1:{free_port()}") == 69
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_orpheus_url_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(request: Request) -> Answer:
        return Answer(200, {"status": "ok", "checks": {}})

    with fake_api(answer) as api:
        monkeypatch.setenv("ORPHEUS_URL", api.url)
        assert orpheus(monkeypatch, "health") == 0

"""The HTTP client against a scripted server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from orpheus.client.http import (
    IDLE_SECONDS,
    Client,
    OrpheusHTTPError,
    ServerUnreachable,
    server_url,
)
from tests.support.fake_api import Answer, FakeApi, Request, fake_api
from tests.support.ports import free_port


def _job(state: str = "pending", **fields: object) -> dict[str, object]:
    return {"id": 7, "state": state, "result": None, "error": None, **fields}


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with fake_api(lambda request: Answer(201, _job())) as server:
        yield server


def test_submit_sends_type_payload_and_options(api: FakeApi) -> None:
    with Client(api.url, token="t0p") as client:
        assert client.submit("resize", {"path": "a.png"}, priority=5)["id"] == 7
    request = api.requests[0]
    assert (request.method, request.path) == ("POST", "/jobs")
    assert request.body == {"type": "resize", "payload": {"path": "a.png"}, "priority": 5}
    assert request.headers["authorization"] == "Bearer t0p"
    assert request.headers["content-type"] == "application/json"


def test_a_submit_whose_answer_is_lost_is_sent_again_with_the_same_key() -> None:
    drops = iter([True])

    def answer(request: Request) -> Answer:
        return Answer(drop=True) if next(drops, False) else Answer(201, _job())

    with fake_api(answer) as api, Client(api.url, token="") as client:
        client.submit("resize")
    keys = [request.headers["idempotency-key"] for request in api.requests]
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_a_cancel_whose_answer_is_lost_is_not_sent_again() -> None:
    with fake_api(lambda request: Answer(drop=True)) as api, Client(api.url, token="") as client:
        with pytest.raises(ServerUnreachable):
            client.cancel(7)
        assert len(api.requests) == 1


def test_an_idle_connection_is_given_up_before_the_server_closes_it(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert uvicorn.Config("an:app").timeout_keep_alive - IDLE_SECONDS >= 1
    connected: list[object] = []
    connect = socket.create_connection

    def count(*args: Any, **options: Any) -> socket.socket:
        connected.append(args[0])
        return connect(*args, **options)

    monkeypatch.setattr(socket, "create_connection", count)
    for idle, connections in ((60.0, 1), (0.0, 2)):
        monkeypatch.setattr("orpheus.client.http.IDLE_SECONDS", idle)
        connected.clear()
        with Client(api.url, token="") as client:
            for _ in range(2):
                client.submit("sum_range", {"n": 1})
        assert len(connected) == connections


def test_each_submit_has_its_own_key(api: FakeApi) -> None:
    with Client(api.url, token="") as client:
        client.submit("a")
        client.submit("a")
    first, second = (request.headers["idempotency-key"] for request in api.requests)
    assert first != second


def test_a_problem_document_becomes_an_error_that_says_what_to_do() -> None:
    problem = {
        "title": "Unprocessable",
        "detail": "the payload does not fit `sum_range`",
        "code": "invalid_payload",
        "errors": [{"loc": ["payload", "n"], "msg": "must be an integer"}],
    }
    with (
        fake_api(lambda request: Answer(422, problem)) as api,
        Client(api.url, token="") as client,
        pytest.raises(OrpheusHTTPError) as caught,
    ):
        client.submit("sum_range", {"n": "5"})
    assert caught.value.status == 422
    assert caught.value.code == "invalid_payload"
    assert "payload.n: must be an integer" in caught.value.detail


def test_retry_after_is_passed_on() -> None:
    answer = Answer(429, {"code": "queue_full", "detail": "full"}, {"Retry-After": "3"})
    with (
        fake_api(lambda request: answer) as api,
        Client(api.url, token="") as client,
        pytest.raises(OrpheusHTTPError) as caught,
    ):
        client.submit("a")
    assert caught.value.retry_after == 3.0


def test_something_that_is_not_orpheus_is_an_error_and_no_traceback() -> None:
    with (
        fake_api(lambda request: Answer(200, ["what?"])) as api,
        Client(api.url, token="") as client,
        pytest.raises(OrpheusHTTPError, match="does not speak like Orpheus"),
    ):
        client.get(1)


def test_nobody_there() -> None:
    with (
        Client(f"http://127.0.0.1:{free_port()}", token="") as client,
        pytest.raises(ServerUnreachable, match="no Orpheus answers"),
    ):
        client.get(1)


def test_wait_asks_until_the_job_is_final() -> None:
    states = iter(["pending", "in_progress", "done"])
    with (
        fake_api(lambda request: Answer(200, _job(next(states)))) as api,
        Client(api.url, token="") as client,
    ):
        assert client.wait(7)["state"] == "done"
        assert all("wait=60.000" in request.path for request in api.requests)


def test_wait_ends_at_its_timeout() -> None:
    with (
        fake_api(lambda request: Answer(200, _job("in_progress"))) as api,
        Client(api.url, token="") as client,
        pytest.raises(TimeoutError, match="job 7 is still in_progress"),
    ):
        client.wait(7, timeout=0.05)


def test_wait_outlasts_a_server_that_restarts() -> None:
    drops = iter([True, True, True, True])

    def answer(request: Request) -> Answer:
        return Answer(drop=True) if next(drops, False) else Answer(200, _job("done"))

    with fake_api(answer) as api, Client(api.url, token="") as client:
        assert client.wait(7)["state"] == "done"


def test_health_is_an_answer_also_when_failing() -> None:
    with (
        fake_api(lambda request: Answer(503, {"status": "failing", "checks": {}})) as api,
        Client(api.url, token="") as client,
    ):
        assert client.health()["status"] == "failing"


def test_filters_repeat() -> None:
    with (
        fake_api(lambda request: Answer(200, {"items": [], "next_cursor": None})) as api,
        Client(api.url, token="") as client,
    ):
        assert client.jobs(state=["done", "failed"], limit=5) == []
        assert api.requests[0].path == "/jobs?state=done&state=failed&limit=5"


def test_the_address_comes_from_the_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORPHEUS_PORT", "4711")
    with Client() as client:
        assert client.url == "http://127.0.0.1:4711"
    monkeypatch.setenv("ORPHEUS_URL", "http://127.0.0.1:4712/")
    with Client() as client:
        assert client.url == "http://127.0.0.1:4712"


@pytest.mark.parametrize(
    ("url", "host", "expected"),
    [
        (None, "127.0.0.1", "http://127.0.0.1:80"),
        (None, "0.0.0.0", "http://127.0.0.1:80"),
        (None, "::1", "http://[::1]:80"),
        ("http://elsewhere", "127.0.0.1", "http://elsewhere"),
    ],
)
def test_server_url(url: str | None, host: str, expected: str) -> None:
    assert server_url(url, host, 80) == expected

"""What is logged of a request: what went wrong or slowly, not each one that went well."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import pytest
import structlog

from orpheus.api.access import SLOW_SECONDS, Access
from orpheus.api.metrics import Metrics
from tests.support.clock import FakeClock

pytestmark = pytest.mark.anyio
Message = MutableMapping[str, Any]


async def request(
    status: int, seconds: float = 0.0, path: str = "/jobs", query: bytes = b""
) -> tuple[list[Message], list[MutableMapping[str, Any]]]:
    """What was sent and logged for one request that took so long and was answered so."""
    clock = FakeClock()
    sent: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clock.advance(seconds)
        if not status:
            raise ValueError("a defect")
        await send({"type": "http.response.start", "status": status, "headers": [(b"a", b"b")]})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": []}
    with structlog.testing.capture_logs() as lines:
        await Access(app, clock, Metrics().http)(scope, receive, send)
    return sent, [line for line in lines if line["log_level"] != "debug"]


@pytest.mark.parametrize(
    ("status", "seconds", "path", "query", "logged"),
    [
        (201, 0.0, "/jobs", b"", False),
        (201, SLOW_SECONDS, "/jobs", b"", True),
        (200, 30.0, "/jobs/1", b"wait=30", False),
        (404, 0.0, "/jobs/1", b"", True),
        (503, 0.0, "/jobs", b"", True),
        (503, 0.0, "/healthz", b"", False),
    ],
)
async def test_what_is_worth_a_line(
    status: int, seconds: float, path: str, query: bytes, logged: bool
) -> None:
    sent, lines = await request(status, seconds, path, query)
    assert [line["event"] for line in lines] == ["request"] * logged
    if logged:
        (line,) = lines
        shown = dict(sent[0]["headers"])[b"x-request-id"].decode()
        assert (line["status"], line["path"], line["request_id"]) == (status, path, shown)
        assert line["ms"] == seconds * 1000


async def test_a_defect_is_a_problem_and_a_traceback() -> None:
    sent, lines = await request(0)
    assert sent[0]["status"] == 500
    assert json.loads(sent[1]["body"])["code"] == "internal"
    assert [line["event"] for line in lines] == ["a request failed", "request"]


async def test_ids_of_requests_differ_and_look_alike() -> None:
    clock, seen = FakeClock(), set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.add(scope["state"]["request_id"])

    access = Access(app, clock, Metrics().http)
    for _ in range(1000):
        await access({"type": "websocket"}, app, app)  # type: ignore[arg-type]
    assert len(seen) == 1000
    assert {len(id_) for id_ in seen} == {16}

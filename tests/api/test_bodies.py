"""A body that does not arrive, or not whole."""

from __future__ import annotations

import json
from collections.abc import MutableMapping
from typing import Any

import anyio
import pytest

from orpheus.api.bodies import Bodies

pytestmark = pytest.mark.anyio

Message = MutableMapping[str, Any]
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/jobs",
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"100")],
}


async def never_reached(*_: object) -> None:
    raise AssertionError("the route must not run")


async def test_a_body_that_does_not_arrive_times_out() -> None:
    sent: list[Message] = []
    first: list[Message] = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> Message:
        if first:
            return first.pop()
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(5):
        await Bodies(never_reached, read_seconds=0.05)(dict(SCOPE), receive, send)
    start, body = sent
    assert start["status"] == 408
    assert (b"connection", b"close") in start["headers"]
    assert json.loads(body["body"])["code"] == "request_timeout"


async def test_a_client_that_leaves_gets_no_answer() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    await Bodies(never_reached)(dict(SCOPE), receive, never_reached)

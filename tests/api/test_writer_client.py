"""The asynchronous side of the writer's socket, against a scripted writer."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.abc import SocketStream

from orpheus.api import writer_client
from orpheus.api.writer_client import WriterClient
from orpheus.clock import SystemClock
from orpheus.errors import RequestError

pytestmark = pytest.mark.anyio


class Writer:
    """The other end: reads frames, answers what it is told to."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def request(self) -> list[Any]:
        while len(self._buffer) < 4 or len(self._buffer) < 4 + self._length():
            self._buffer += await self._stream.receive()
        end = 4 + self._length()
        frame: list[Any] = json.loads(self._buffer[4:end])
        self._buffer = self._buffer[end:]
        return frame

    async def answer(self, *frames: object, piece: int = 1 << 20) -> None:
        data = b"".join(
            len(body).to_bytes(4, "big") + body
            for body in (json.dumps(frame).encode() for frame in frames)
        )
        for start in range(0, len(data), piece):
            await self._stream.send(data[start : start + piece])

    async def hang_up(self) -> None:
        await self._stream.aclose()

    def _length(self) -> int:
        return int.from_bytes(self._buffer[:4], "big")


class Events:
    """What the client reported."""

    def __init__(self) -> None:
        self.killed = 0
        self.lost = anyio.Event()

    def kill(self) -> None:
        self.killed += 1


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[WriterClient, Writer, Events]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    events = Events()
    client = WriterClient(ours, SystemClock(), events.kill, events.lost.set)
    await client.connect()
    async with await SocketStream.from_socket(theirs) as stream:
        yield client, Writer(stream), events
        client.close()
        await anyio.lowlevel.checkpoint()


async def test_answers_find_their_callers_in_any_order() -> None:
    async with connected() as (client, writer, _), anyio.create_task_group() as tasks:
        found: dict[int, Any] = {}

        async def ask(n: int) -> None:
            found[n] = await client.cancel(n)

        for n in range(3):
            tasks.start_soon(ask, n)
        requests = [await writer.request() for _ in range(3)]
        answers = [[id_, "ok", {"n": args["id"]}] for id_, _, args in reversed(requests)]
        # One byte at a time: frames do not come in whole pieces.
        await writer.answer(*answers, piece=1)
    assert found == {n: {"n": n} for n in range(3)}


async def test_a_refusal_is_raised_with_its_code() -> None:
    async with connected() as (client, writer, _), anyio.create_task_group() as tasks:

        async def refuse() -> None:
            id_, verb, args = await writer.request()
            assert (verb, args) == ("retry", {"id": 7})
            await writer.answer([id_, "error", "invalid_state", "no"])

        tasks.start_soon(refuse)
        with pytest.raises(RequestError, match="no") as error:
            await client.retry(7)
        assert error.value.code == "invalid_state"


async def test_a_caller_that_leaves_does_not_disturb_the_next() -> None:
    async with connected() as (client, writer, _):
        with anyio.move_on_after(0.01):
            await client.cancel(1)
        abandoned, _, _ = await writer.request()
        async with anyio.create_task_group() as tasks:

            async def answer_both() -> None:
                id_, _, _ = await writer.request()
                await writer.answer([abandoned, "ok", "late"], [id_, "ok", {}])

            tasks.start_soon(answer_both)
            assert await client.cancel(2) == {}


async def test_a_writer_that_hangs_up_fails_what_was_asked() -> None:
    async with connected() as (client, writer, events), anyio.create_task_group() as tasks:

        async def hang_up() -> None:
            await writer.request()
            await writer.hang_up()

        tasks.start_soon(hang_up)
        with pytest.raises(RequestError) as error:
            await client.delete(1)
        assert error.value.code == "store_busy"
        with anyio.fail_after(5):
            await events.lost.wait()
        with pytest.raises(RequestError):
            await client.delete(2)


async def test_closing_on_purpose_is_no_loss() -> None:
    async with connected() as (_, _, events):
        pass
    assert not events.lost.is_set()


async def test_a_slow_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_client, "ANSWER_SECONDS", 0.05)
    async with connected() as (client, _, _):
        seen: list[tuple[float, bool]] = []
        client.observe = lambda seconds, busy: seen.append((seconds, busy))
        with pytest.raises(RequestError) as error:
            await client.probe()
        assert error.value.code == "store_busy"
        assert [busy for _, busy in seen] == [True]


async def test_a_silent_writer_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_client, "PING_SECONDS", 0.02)
    monkeypatch.setattr(writer_client, "SILENT_SECONDS", 0.2)
    async with connected() as (client, _, events):
        with anyio.fail_after(10):
            await client.watch()
        assert events.killed == 1


async def test_a_writer_that_answers_pings_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_client, "PING_SECONDS", 0.02)
    monkeypatch.setattr(writer_client, "SILENT_SECONDS", 0.1)
    async with connected() as (client, writer, events), anyio.create_task_group() as tasks:
        tasks.start_soon(client.watch)
        for _ in range(20):
            id_, verb, _ = await writer.request()
            assert verb == "ping"
            await writer.answer([id_, "ok", {}])
        assert events.killed == 0
        tasks.cancel_scope.cancel()

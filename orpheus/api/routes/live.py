"""`/ws`: the live feed, plain for machines and by topics for dashboards."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

import anyio
from fastapi import APIRouter, WebSocket
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from orpheus.api.parameters import MAX_ID, Parameters
from orpheus.api.problems import problem
from orpheus.api.services import Services, services
from orpheus.api.sockets import MAX_CLIENTS, TRY_LATER, Connection, Refused
from orpheus.api.topics import parse_topic
from orpheus.errors import InvalidRequest, StoreBusy, StoreFailed
from orpheus.feed.stream import EventFilter, Frame, Start, frames, hello
from orpheus.feed.subscriber import Subscriber

router = APIRouter()

_PLAIN = ("since", "epoch", "job", "queue", "type")


@router.websocket("/ws")
async def live(socket: WebSocket) -> None:
    api = services(socket)
    try:
        dashboard = socket.query_params.get("mode") == "dashboard"
        query = Parameters(socket.query_params, ("mode",) if dashboard else _PLAIN)
        start, wanted = (Start(), EventFilter()) if dashboard else _position(query)
    except InvalidRequest as error:
        await socket.send_denial_response(
            problem(socket.scope, error.code, error.detail, error.errors)
        )
        return
    await socket.accept()
    gauge = api.metrics.sockets.clients
    if api.clients.full:
        await socket.close(TRY_LATER, f"more than {MAX_CLIENTS} clients")
        return
    with api.clients.one(), gauge.track_inprogress():
        connection = Connection(socket, api.reads, api.metrics.sockets)
        try:
            if dashboard:
                await _dashboard(connection, api)
            else:
                await _plain(connection, api, start, wanted)
        except (StoreBusy, StoreFailed):
            with anyio.move_on_after(1):
                await socket.close(TRY_LATER, "the database is busy")


def _position(query: Parameters) -> tuple[Start, EventFilter]:
    since = query.integer("since", -1, 0, MAX_ID)
    wanted = EventFilter(
        jobs=frozenset(query.ids("job")),
        queues=frozenset(query.names("queue")),
        types=frozenset(query.names("type")),
    )
    return Start(None if since < 0 else since, query.text("epoch")), wanted


async def _plain(connection: Connection, api: Services, start: Start, wanted: EventFilter) -> None:
    feed = api.feed

    async def ignore(_: object) -> None:
        """Nothing is asked of us here."""

    with feed.tailer.following():
        stream = frames(api.reads, feed.window, feed.tailer, start, wanted)
        await connection.serve(stream, ignore, feed.closing)


async def _dashboard(connection: Connection, api: Services) -> None:
    topics = api.feed.topics
    subscriber = Subscriber(topics)

    async def on_message(message: object) -> None:
        try:
            await _obey(subscriber, _OPS.validate_python(message))
        except ValidationError:
            raise Refused("not an operation of this feed") from None
        except InvalidRequest as error:
            raise Refused(error.detail) from None

    async def greeted() -> AsyncGenerator[Frame, None]:
        _, greeting = await hello(api.reads)
        yield greeting
        async with aclosing(subscriber.frames()) as values:
            async for frame in values:
                yield frame

    with topics.listening(subscriber.notify):
        try:
            await connection.serve(greeted(), on_message, api.feed.closing)
        finally:
            subscriber.close()
            api.metrics.sockets.coalesced.inc(subscriber.coalesced)


class _Op(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Subscribe(_Op):
    op: Literal["subscribe"]
    id: int
    topic: str
    args: dict[str, object] = {}


class _Unsubscribe(_Op):
    op: Literal["unsubscribe"]
    id: int


class _Pause(_Op):
    op: Literal["pause", "resume"]
    id: int | None = None


_OPS: TypeAdapter[_Subscribe | _Unsubscribe | _Pause] = TypeAdapter(
    _Subscribe | _Unsubscribe | _Pause
)


async def _obey(subscriber: Subscriber, op: _Subscribe | _Unsubscribe | _Pause) -> None:
    match op:
        case _Subscribe():
            await subscriber.subscribe(op.id, parse_topic(op.topic, op.args))
        case _Unsubscribe():
            subscriber.unsubscribe(op.id)
        case _Pause():
            subscriber.pause(op.id, op.op == "pause")

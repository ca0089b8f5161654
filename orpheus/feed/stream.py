"""The plain feed of one machine client: hello, then every event in order, as text frames.

Yields frames and holds nothing but a position; the caller sends each before it asks for the next,
so a slow client slows only itself.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from pydantic_core import to_json

from orpheus.clock import to_rfc3339
from orpheus.feed.events import FeedEvent
from orpheus.feed.tailer import Tailer
from orpheus.feed.window import EventWindow
from orpheus.store.reads import Reads


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Values within a name are alternatives; the names must all match; empty means any."""

    jobs: frozenset[int] = frozenset()
    queues: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()

    def matches(self, event: FeedEvent) -> bool:
        return (
            (not self.jobs or event.job_id in self.jobs)
            and (not self.queues or event.queue in self.queues)
            and (not self.types or event.type in self.types)
        )


@dataclass(frozen=True, slots=True)
class Start:
    """Where a client wants to go on: after `since`, of the numbering `epoch` where it says so."""

    since: int | None = None
    epoch: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """A text frame of some kind; `newest_at` is when its newest event happened (µs)."""

    kind: str
    text: str
    newest_at: int | None = None


async def hello(reads: Reads) -> tuple[int, Frame]:
    """The newest event number and the frame that says it."""
    seq = await reads.last_seq()
    value = {
        "type": "hello",
        "seq": seq,
        "epoch": await reads.epoch(),
        "now": to_rfc3339(reads.now()),
    }
    return seq, Frame("hello", to_json(value).decode())


async def frames(
    reads: Reads, window: EventWindow, tailer: Tailer, start: Start, wanted: EventFilter
) -> AsyncGenerator[Frame, None]:
    """Hello, a reset where the client's position is void, then events for ever."""
    newest, greeting = await hello(reads)
    yield greeting
    position = newest if start.since is None else start.since
    if start.epoch not in (None, await reads.epoch()) or position > newest:
        position = newest
        yield _reset(position)
    while True:
        batch = await window.after(position)
        if batch.reset is not None:
            position = batch.reset
            yield _reset(position)
        elif batch.events:
            position = batch.events[-1].seq
            if events := [event for event in batch.events if wanted.matches(event)]:
                yield _events(events)
        else:
            await tailer.newer_than(position)


def _reset(seq: int) -> Frame:
    return Frame("reset", f'{{"type":"reset","seq":{seq}}}')


def _events(events: list[FeedEvent]) -> Frame:
    body = ",".join([event.json for event in events])
    return Frame("events", f'{{"type":"events","events":[{body}]}}', events[-1].at)

"""Shared values behind dashboard subscriptions.

A topic is a question (the counts, a page of jobs, one job); equal topics of all clients form one
group, whose value is read and encoded once per round, at most ten rounds a second, and counts as
news only when it changed. Values are absolute, so a client that skips some loses nothing but time.
How a topic is answered is the caller's: `load` is given by the API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterator
from contextlib import contextmanager

import anyio
from pydantic_core import to_json

from orpheus.errors import StoreBusy, StoreFailed
from orpheus.feed.tailer import Tailer

_ROUND_SECONDS = 0.1
# Ages grow and output arrives without an event.
_SLOW_ROUND_SECONDS = 0.4

Load = Callable[[Hashable], Awaitable[object | None]]


class Group:
    """One topic's newest value as JSON; `text` is None before the first and when it is gone."""

    __slots__ = ("members", "seq", "text", "topic", "version")

    def __init__(self, topic: Hashable) -> None:
        self.topic = topic
        self.members = 0
        self.version = 0
        self.seq = 0
        self.text: str | None = None


class Topics:
    """The groups that have members; `run` is a task of the API."""

    def __init__(self, tailer: Tailer, load: Load) -> None:
        self._tailer = tailer
        self._load = load
        self._groups: dict[Hashable, Group] = {}
        self._some = anyio.Event()
        self._listeners: set[Callable[[], None]] = set()

    @contextmanager
    def listening(self, notify: Callable[[], None]) -> Iterator[None]:
        """Call `notify` whenever some value changed, while in the block."""
        self._listeners.add(notify)
        try:
            with self._tailer.following():
                yield
        finally:
            self._listeners.discard(notify)

    async def join(self, topic: Hashable) -> Group:
        """The topic's group, with a value; `leave` must follow."""
        group = self._groups.setdefault(topic, Group(topic))
        group.members += 1
        try:
            if not group.version:
                await self._refresh(group)
        except BaseException:
            self.leave(group)
            raise
        self._some.set()
        return group

    def leave(self, group: Group) -> None:
        group.members -= 1
        if not group.members:
            self._groups.pop(group.topic, None)

    async def run(self) -> None:
        while True:
            if not self._groups:
                self._some = anyio.Event()
                await self._some.wait()
            seen = self._tailer.seq
            if await self._round():
                for notify in tuple(self._listeners):
                    notify()
            await anyio.sleep(_ROUND_SECONDS)
            with anyio.move_on_after(_SLOW_ROUND_SECONDS):
                await self._tailer.newer_than(seen)

    async def _round(self) -> bool:
        changed = False
        for group in list(self._groups.values()):
            try:
                changed |= await self._refresh(group)
            except (StoreBusy, StoreFailed):
                # The next round is near, and old values are better than none.
                continue
        return changed

    async def _refresh(self, group: Group) -> bool:
        seq = self._tailer.seq
        value = await self._load(group.topic)
        text = None if value is None else to_json(value).decode()
        if group.version and text == group.text:
            return False
        group.text = text
        group.seq = seq
        group.version += 1
        return True

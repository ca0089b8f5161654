"""One dashboard client's subscriptions, and the frames they make.

Holds which version of each group was sent last; there is no queue. A client that reads slowly gets
the newest value when it is ready for one.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Hashable
from dataclasses import dataclass

import anyio

from orpheus.errors import InvalidRequest
from orpheus.feed.stream import Frame
from orpheus.feed.topics import Group, Topics

MAX_SUBSCRIPTIONS = 64


@dataclass(slots=True)
class _Subscription:
    group: Group
    sent: int = 0
    paused: bool = False


class Subscriber:
    """`frames` must run inside `topics.listening(self.notify)`; `close` lets the groups go."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._subscriptions: dict[int, _Subscription] = {}
        self._news = anyio.Event()
        self.coalesced = 0

    def notify(self) -> None:
        self._news.set()

    async def subscribe(self, id_: int, topic: Hashable) -> None:
        """Subscribe, or change what `id_` is subscribed to."""
        if len(self._subscriptions) >= MAX_SUBSCRIPTIONS and id_ not in self._subscriptions:
            raise InvalidRequest("out_of_range", f"at most {MAX_SUBSCRIPTIONS} subscriptions")
        group = await self._topics.join(topic)
        self.unsubscribe(id_)
        self._subscriptions[id_] = _Subscription(group)
        self.notify()

    def unsubscribe(self, id_: int) -> None:
        if subscription := self._subscriptions.pop(id_, None):
            self._topics.leave(subscription.group)

    def pause(self, id_: int | None, paused: bool) -> None:
        """Hold back, or go on with, one subscription or all."""
        for key, subscription in self._subscriptions.items():
            if id_ in (None, key):
                subscription.paused = paused
        self.notify()

    def close(self) -> None:
        for id_ in list(self._subscriptions):
            self.unsubscribe(id_)

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """The newest value of each subscription that has news, for ever."""
        while True:
            self._news = anyio.Event()
            for id_, subscription in list(self._subscriptions.items()):
                if frame := self._frame(id_, subscription):
                    yield frame
            await self._news.wait()

    def _frame(self, id_: int, subscription: _Subscription) -> Frame | None:
        group = subscription.group
        if subscription.paused or subscription.sent == group.version:
            return None
        if self._subscriptions.get(id_) is not subscription:
            return None
        kind = "update" if subscription.sent else "snapshot"
        if subscription.sent:
            self.coalesced += group.version - subscription.sent - 1
        subscription.sent = group.version
        head = f'"id":{id_},"seq":{group.seq}'
        if group.text is None:
            return Frame("gap", f'{{"type":"gap",{head}}}')
        return Frame(kind, f'{{"type":"{kind}",{head},"data":{group.text}}}')

"""The newest events, kept once for all readers.

A reader that keeps up finds its next events here, already encoded; one that fell behind reads the
table. Nothing is pushed: a reader that never comes back costs nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

import anyio

from orpheus.feed.events import FeedEvent
from orpheus.store.reads import Reads

KEPT = 4096
BATCH = 500


@dataclass(frozen=True, slots=True)
class Batch:
    """What follows a position: events in order, or `reset`, the position to go on from."""

    events: list[FeedEvent]
    reset: int | None = None


class EventWindow:
    """A ring of consecutive events over the table."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._lock = anyio.Lock()
        self._ring: deque[FeedEvent] = deque(maxlen=KEPT)

    async def after(self, seq: int) -> Batch:
        """Up to `BATCH` events after `seq`, none if there are none yet."""
        if found := self._slice(seq):
            return Batch(found)
        async with self._lock:
            # Another reader at the same position may have fetched them meanwhile.
            if found := self._slice(seq):
                return Batch(found)
            page = await self._reads.events_after(seq, BATCH)
            if seq > page.newest or seq < page.oldest - 1:
                return Batch([], page.newest)
            events = [FeedEvent(row) for row in page.rows]
            self._keep(events)
        return Batch(events)

    def _slice(self, seq: int) -> list[FeedEvent]:
        ring = self._ring
        if not ring or not ring[0].seq <= seq + 1 <= ring[-1].seq:
            return []
        # Numbers have no gaps inside the ring, so the place follows from the number.
        start = seq + 1 - ring[0].seq
        return list(islice(ring, start, start + BATCH))

    def _keep(self, events: list[FeedEvent]) -> None:
        """Append what continues the ring; start it anew where a reader is ahead of it."""
        if not events:
            return
        ring = self._ring
        if ring and events[0].seq <= ring[-1].seq:
            return
        if ring and events[0].seq != ring[-1].seq + 1:
            ring.clear()
        ring.extend(events)

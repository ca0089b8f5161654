"""Knows the newest event number and wakes whoever waits for a newer one.

One task of the API runs it. A doorbell says "look now", a slow poll makes lost rings harmless, and
a minimum pause makes a thousand commits a second cost a hundred looks. It reads one number, never
events: what a reader wants of them it pulls itself, at its own pace.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio

from orpheus.errors import StoreBusy, StoreFailed
from orpheus.ipc.doorbell import Doorbell, remove_silent
from orpheus.log import get_logger
from orpheus.store.reads import Reads

_log = get_logger(__name__)

POLL_SECONDS = 0.25
PAUSE_SECONDS = 0.01


class Tailer:
    """`seq` is the newest number seen; it is kept current only while somebody follows."""

    def __init__(self, reads: Reads, bell: Path) -> None:
        self._reads = reads
        self._bell = bell
        self._followers = 0
        self._wanted = anyio.Event()
        self._moved = anyio.Event()
        self.seq = 0

    async def run(self) -> None:
        """Look until cancelled."""
        # Bells of processes that were killed; nobody else would ever remove them.
        remove_silent(self._bell.parent, "feed-")
        bell = Doorbell(self._bell)
        try:
            while True:
                if not self._followers:
                    self._wanted = anyio.Event()
                    await self._wanted.wait()
                bell.drain()
                await self._look()
                await anyio.sleep(PAUSE_SECONDS)
                with anyio.move_on_after(POLL_SECONDS):
                    await anyio.wait_readable(bell.fileno())
        finally:
            bell.close()

    @contextmanager
    def following(self) -> Iterator[None]:
        """Keep `seq` current while in the block."""
        self._followers += 1
        self._wanted.set()
        try:
            yield
        finally:
            self._followers -= 1

    async def newer_than(self, seq: int) -> int:
        """Wait until an event after `seq` exists; answers the newest number."""
        while self.seq <= seq:
            await self._moved.wait()
        return self.seq

    async def _look(self) -> None:
        try:
            newest = await self._reads.last_seq()
        except (StoreBusy, StoreFailed) as error:
            _log.warning("the feed cannot read", error=str(error))
            return
        if newest != self.seq:
            self.seq = newest
            moved, self._moved = self._moved, anyio.Event()
            moved.set()

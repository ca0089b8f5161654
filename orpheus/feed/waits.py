"""Waiting for jobs to end: `?wait=` of the API.

All waiters share one query per look, so a thousand of them cost the same as one.
"""

from __future__ import annotations

import anyio

from orpheus.errors import StoreBusy, StoreFailed
from orpheus.feed.tailer import Tailer
from orpheus.store.reads import Reads

# Waiters look again by themselves: a hint that got lost costs this, not the whole wait.
_SLOW_POLL_SECONDS = 1.0
_MANY = 500


class Waits:
    """Resolves waits whenever the feed moves; `run` is a task of the API."""

    def __init__(self, reads: Reads, tailer: Tailer) -> None:
        self._reads = reads
        self._tailer = tailer
        self._waiting: dict[int, list[anyio.Event]] = {}
        self._some = anyio.Event()
        self._closing = False

    async def ended(self, job_id: int, seconds: float) -> None:
        """Return when the job is final or gone, when the time is up, or when the API stops."""
        if self._closing or seconds <= 0:
            return
        done = anyio.Event()
        self._waiting.setdefault(job_id, []).append(done)
        self._some.set()
        try:
            with anyio.move_on_after(seconds), self._tailer.following():
                # It may have ended before we listened, and then nothing more would happen.
                if not await self._reads.ended([job_id]):
                    await done.wait()
        finally:
            events = self._waiting.get(job_id, [])
            if done in events:
                events.remove(done)
                if not events:
                    del self._waiting[job_id]

    def close(self) -> None:
        """Let everybody go, now and from now on."""
        self._closing = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def run(self) -> None:
        while True:
            if not self._waiting:
                self._some = anyio.Event()
                await self._some.wait()
            seen = self._tailer.seq
            await self._look()
            await self._next_look(seen)

    async def _look(self) -> None:
        ids = list(self._waiting)
        for start in range(0, len(ids), _MANY):
            try:
                ended = await self._reads.ended(ids[start : start + _MANY])
            except (StoreBusy, StoreFailed):
                return
            for job_id in ended:
                for event in self._waiting.get(job_id, ()):
                    event.set()

    async def _next_look(self, seen: int) -> None:
        with anyio.move_on_after(_SLOW_POLL_SECONDS):
            await self._tailer.newer_than(seen)

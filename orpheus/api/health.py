"""Whether this API can do its work: the checks behind `/healthz` and `/readyz`.

The probe reads a row and has the writer take the gate and a write transaction. Answers are kept for
a second, and askers that come together share one probe, so that asking often costs nothing. Workers
are reported but never make it fail: jobs are accepted and kept without them.
"""

from __future__ import annotations

from typing import Any

import anyio

from orpheus.api.writer_client import WriterClient
from orpheus.clock import SECOND_NS, Clock
from orpheus.errors import RequestError, StoreBusy, StoreFailed
from orpheus.settings import Settings
from orpheus.store.admission import Disk
from orpheus.store.reads import Reads

PROBE_SECONDS = 1.0
_KEPT_NS = SECOND_NS


class Health:
    """`check` answers the document of the contract and whether it is good news."""

    def __init__(
        self, settings: Settings, reads: Reads, writer: WriterClient, clock: Clock
    ) -> None:
        self._disk = Disk(settings, clock)
        self._reads = reads
        self._writer = writer
        self._clock = clock
        self._lock = anyio.Lock()
        self._kept: dict[str, Any] | None = None
        self._until = 0
        self.draining = False

    async def check(self) -> tuple[bool, dict[str, Any]]:
        async with self._lock:
            if self._kept is None or self._clock.monotonic() >= self._until:
                self._kept = await self._probe()
                self._until = self._clock.monotonic() + _KEPT_NS
            checks = self._kept
        ok = checks["database"]["ok"] and checks["disk"]["ok"] and not self.draining
        return ok, {"status": "ok" if ok else "failing", "checks": checks}

    async def _probe(self) -> dict[str, Any]:
        started = self._clock.monotonic()
        count = 0
        database = False
        try:
            with anyio.fail_after(PROBE_SECONDS):
                count = await self._reads.live_workers()
                await self._writer.probe()
                database = True
        except (TimeoutError, RequestError, StoreBusy, StoreFailed):
            pass  # The document says so; what was wrong is in the writer's and the store's logs.
        milliseconds = (self._clock.monotonic() - started) / 1e6
        return {
            "database": {"ok": database, "ms": round(milliseconds, 1)},
            "disk": {"ok": not self._disk.is_low(), "free_bytes": self._disk.free()},
            "workers": {"ok": count > 0, "count": count},
        }

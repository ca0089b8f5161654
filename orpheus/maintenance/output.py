"""Output: what handlers log and report is stored a little at a time."""

from __future__ import annotations

import json

from orpheus.clock import SECOND_NS, to_rfc3339
from orpheus.ipc.output import OutputReader, Record
from orpheus.maintenance.pool import Pool
from orpheus.store.logs import LogLine, Progress, append, set_progress

STORE_AFTER_NS = SECOND_NS // 10
_AT_ONCE = 500
_LEVELS = frozenset({"debug", "info", "warning", "error", "critical"})


class Output:
    """Gathers records from the pool's pipe and stores them within 200 ms."""

    def __init__(self, pool: Pool, descriptor: int) -> None:
        self._pool = pool
        self._reader = OutputReader(descriptor)
        self._records: list[Record] = []
        self._since = 0

    def fileno(self) -> int:
        return self._reader.fileno()

    def read(self) -> None:
        """Take in what is in the pipe, so that its writers find room."""
        records = self._reader.read()
        if records and not self._records:
            self._since = self._pool.clock.monotonic()
        self._records += records

    def due(self) -> int | None:
        """When what was read should be stored (monotonic nanoseconds), None if there is nothing."""
        return self._since + STORE_AFTER_NS if self._records else None

    def store(self) -> None:
        """Store what was read, in transactions of bounded size."""
        while self._records:
            records = self._records[:_AT_ONCE]
            lines = [_line(record) for record in records if record.kind != "progress"]
            # Only the latest progress of an attempt matters.
            latest = {
                record.attempt_id: _progress(record)
                for record in records
                if record.kind == "progress"
            }
            with self._pool.write() as tx:
                append(tx, lines)
                dropped = sum(slot.take_dropped() for slot in self._pool.living())
                if dropped:
                    tx.totals.add("output_dropped", value=dropped)
                set_progress(tx, list(latest.values()))
            del self._records[:_AT_ONCE]
        self._pool.ring_feeds()


def _line(record: Record) -> LogLine:
    return LogLine(
        job_id=record.job_id,
        attempt=record.attempt,
        at=record.at,
        level=record.level if record.level in _LEVELS else "info",
        message=record.message,
        fields=json.dumps(record.fields),
        stream=record.kind,
    )


def _progress(record: Record) -> Progress:
    progress = {**record.fields, "message": record.message, "at": to_rfc3339(record.at)}
    return Progress(record.job_id, record.attempt_id, json.dumps(progress))

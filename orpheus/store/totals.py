"""Figures that only rise (behind /metrics), and the activity of each second (behind /stats)."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Sequence

from orpheus.clock import SECOND_US
from orpheus.domain.histogram import bucket_label


class Observations:
    """Durations in seconds, counted by bucket."""

    __slots__ = ("count", "labels", "sum")

    def __init__(self, seconds: Sequence[float]) -> None:
        self.labels = Counter(map(bucket_label, seconds))
        self.sum = sum(seconds)
        self.count = len(seconds)


class TotalDeltas:
    """Gathers what one transaction adds to the totals."""

    __slots__ = ("_deltas",)

    def __init__(self) -> None:
        self._deltas: defaultdict[tuple[str, str, str, str], float] = defaultdict(float)

    def add(
        self, name: str, queue: str = "", type_: str = "", label: str = "", value: float = 1
    ) -> None:
        self._deltas[name, queue, type_, label] += value

    def observe(self, name: str, queue: str, type_: str, seen: Observations) -> None:
        """Observations of the histogram `name` (`wait_seconds`, `run_seconds`)."""
        deltas = self._deltas
        bucket = f"{name}_bucket"
        for label, count in seen.labels.items():
            deltas[bucket, queue, type_, label] += count
        deltas[f"{name}_sum", queue, type_, ""] += seen.sum
        deltas[f"{name}_count", queue, type_, ""] += seen.count

    def flush(self, connection: sqlite3.Connection) -> None:
        if self._deltas:
            connection.executemany(
                "INSERT INTO totals (name, queue, type, label, value) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET value = value + excluded.value",
                [(*key, value) for key, value in self._deltas.items()],
            )


class Activity:
    """Gathers what one transaction adds to the current second."""

    __slots__ = ("_counts",)

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, what: str, n: int = 1) -> None:
        """`what` is submitted, done, failed or cancelled."""
        self._counts[what] += n

    def flush(self, connection: sqlite3.Connection, now: int) -> None:
        if self._counts:
            counts = self._counts
            connection.execute(
                "INSERT INTO activity (second, submitted, done, failed, cancelled)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
                " submitted = submitted + excluded.submitted, done = done + excluded.done,"
                " failed = failed + excluded.failed, cancelled = cancelled + excluded.cancelled",
                (
                    now // SECOND_US,
                    counts["submitted"],
                    counts["done"],
                    counts["failed"],
                    counts["cancelled"],
                ),
            )

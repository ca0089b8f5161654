"""How many jobs are in each state, per queue and type, kept in the changing transaction."""

from __future__ import annotations

import sqlite3
from collections import Counter

from orpheus.domain.job import WAITING, JobState


class CounterDeltas:
    """Gathers the changes of one transaction."""

    __slots__ = ("_deltas",)

    def __init__(self) -> None:
        self._deltas: Counter[tuple[str, str, str]] = Counter()

    def move(
        self, queue: str, type_: str, before: JobState | None, after: JobState | None, n: int = 1
    ) -> None:
        """Count `n` jobs from one state to another; None is "does not exist"."""
        if before is not None:
            self._deltas[queue, type_, before] -= n
        if after is not None:
            self._deltas[queue, type_, after] += n

    def waiting(self) -> int:
        """By how much this transaction raises the number of jobs that wait."""
        return sum(delta for (_, _, state), delta in self._deltas.items() if state in WAITING)

    def flush(self, connection: sqlite3.Connection) -> None:
        for (queue, type_, state), delta in self._deltas.items():
            if not delta:
                continue
            # No upsert: the CHECK (n >= 0) is applied to the row proposed, and a delta may be
            # negative.
            changed = connection.execute(
                "UPDATE counters SET n = n + ? WHERE queue = ? AND type = ? AND state = ?",
                (delta, queue, type_, state),
            ).rowcount
            if not changed:
                connection.execute(
                    "INSERT INTO counters (queue, type, state, n) VALUES (?, ?, ?, ?)",
                    (queue, type_, state, delta),
                )

"""One write transaction in the making: what every write verb is handed.

State changes go to the connection at once; events, counters and totals are gathered and written
in one go before the commit, so that they always change together with the state (law 5).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from orpheus.store.counters import CounterDeltas
from orpheus.store.events import EventRows
from orpheus.store.totals import Activity, TotalDeltas


@dataclass(slots=True)
class Transaction:
    """`now` is wall time in microseconds, `monotonic` nanoseconds; both read once, in the gate."""

    connection: sqlite3.Connection
    now: int
    monotonic: int
    counters: CounterDeltas = field(default_factory=CounterDeltas)
    totals: TotalDeltas = field(default_factory=TotalDeltas)
    activity: Activity = field(default_factory=Activity)
    events: EventRows = field(init=False)

    def __post_init__(self) -> None:
        self.events = EventRows(self.now)

    def flush(self) -> None:
        """Write what was gathered. Called once, right before the commit."""
        self.counters.flush(self.connection)
        self.totals.flush(self.connection)
        self.activity.flush(self.connection, self.now)
        self.events.flush(self.connection)

    def next_id(self, table: str) -> int:
        """The first id never given in an AUTOINCREMENT table.

        Ids are assigned by us and inserted explicitly: RETURNING does not promise the order of
        an INSERT ... SELECT, and a rolled back transaction must not burn numbers.
        """
        row = self.connection.execute(
            "SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)
        ).fetchone()
        return 1 if row is None else int(row[0]) + 1

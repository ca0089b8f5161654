"""What `orpheus doctor` asks the database, on a read-only connection."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_WRONG_COUNTERS = """
SELECT queue, type, state, sum(counted) AS counted, sum(there) AS there
FROM (SELECT queue, type, state, n AS counted, 0 AS there FROM counters
      UNION ALL
      SELECT queue, type, state, 0, count(*) FROM jobs GROUP BY queue, type, state)
GROUP BY queue, type, state
HAVING sum(counted) <> sum(there)
"""

_LEASES = """
SELECT a.worker_id, a.worker, a.pid, a.boot_id, count(*), coalesce(w.pool, ''),
       coalesce(w.start_time, 0), w.id IS NULL OR w.ended_at IS NOT NULL
FROM attempts AS a LEFT JOIN workers AS w ON w.id = a.worker_id
WHERE a.outcome IS NULL
GROUP BY a.worker_id
ORDER BY a.worker_id
"""


@dataclass(frozen=True, slots=True)
class WrongCounter:
    """A counter that says something else than the jobs do."""

    queue: str
    type: str
    state: str
    counted: int
    there: int


@dataclass(frozen=True, slots=True)
class Leases:
    """The open attempts of one worker; `ended` where its end is on record already."""

    worker_id: int
    worker: str
    pid: int
    boot_id: str
    attempts: int
    pool: str
    start_time: int
    ended: int


def wrong_counters(connection: sqlite3.Connection) -> list[WrongCounter]:
    """Counts everything: one statement, so of one moment."""
    return [WrongCounter(*row) for row in connection.execute(_WRONG_COUNTERS)]


def open_leases(connection: sqlite3.Connection) -> list[Leases]:
    return [Leases(*row) for row in connection.execute(_LEASES)]

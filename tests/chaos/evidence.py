"""Everything the checker looks at, read once all has come to rest."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from orpheus.store.staging import PAYLOAD
from tests.chaos.clients import Submission

Row = dict[str, Any]


_JOBS = f"SELECT *, json_extract({PAYLOAD}, '$.n') AS number FROM jobs ORDER BY id"
_STRAYS = """
SELECT count(*) FROM payloads
WHERE NOT EXISTS (SELECT 1 FROM jobs WHERE payload_id = payloads.id)
  AND NOT EXISTS (SELECT 1 FROM staged WHERE payloads.id BETWEEN first AND last)
"""


class Beat(NamedTuple):
    """One line a handler left: it was alive in this attempt then (monotonic nanoseconds)."""

    at: int
    pid: int
    job_id: int
    attempt: int
    what: str


@dataclass
class Feed:
    """What one reader saw, from the first event to `last`."""

    events: list[Row]
    last: int
    resets: int = 0
    finished: bool = True


@dataclass
class Evidence:
    """Records, traces and what the harness knows; `number` of a job is its payload's `n`."""

    jobs: list[Row] = field(default_factory=list)
    attempts: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    counters: dict[tuple[str, ...], int] = field(default_factory=dict)
    integrity: str = "ok"
    # Neither a job's nor marked as given up: nobody would ever delete them.
    stray_payloads: int = 0
    trace: list[Beat] = field(default_factory=list)
    submissions: list[Submission] = field(default_factory=list)
    feeds: list[Feed] = field(default_factory=list)
    # Processes whose end was our doing.
    deadly: set[int] = field(default_factory=set)
    # Jobs that were there before the clients, such as those of scripts/start.
    before: set[int] = field(default_factory=set)
    oddities: list[str] = field(default_factory=list)

    def read(self, database: Path, trace: Path) -> None:
        """Add what database and trace say."""
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            self.jobs = _rows(connection.execute(_JOBS))
            (self.stray_payloads,) = connection.execute(_STRAYS).fetchone()
            self.attempts = _rows(
                connection.execute(
                    "SELECT attempts.*, workers.pool, workers.started_at AS worker_started_at "
                    "FROM attempts LEFT JOIN workers ON workers.id = worker_id ORDER BY attempts.id"
                )
            )
            self.events = _rows(connection.execute("SELECT * FROM events ORDER BY seq"))
            counters = connection.execute("SELECT queue, type, state, n FROM counters WHERE n > 0")
            self.counters = {tuple(row)[:3]: row["n"] for row in counters}
            self.integrity = connection.execute("PRAGMA integrity_check").fetchone()[0]
        if trace.exists():
            self.trace = [_beat(line) for line in trace.read_text(encoding="ascii").splitlines()]


def _rows(cursor: Iterable[sqlite3.Row]) -> list[Row]:
    return [dict(row) for row in cursor]


def _beat(line: str) -> Beat:
    at, pid, job_id, attempt, what = line.split()
    return Beat(int(at), int(pid), int(job_id), int(attempt), what)

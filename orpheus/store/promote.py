"""Promote: scheduled jobs whose time has come become pending."""

from __future__ import annotations

import sqlite3

from orpheus.domain.job import JobState
from orpheus.store.transaction import Transaction

_AT_ONCE = 500

_DUE = """
SELECT id, type, queue, attempt FROM jobs
WHERE state = 'scheduled' AND run_at <= ? ORDER BY run_at LIMIT ?
"""


def promote(tx: Transaction, limit: int = _AT_ONCE) -> int:
    """Promote up to `limit` due jobs, earliest first, and return how many."""
    rows = tx.connection.execute(_DUE, (tx.now, limit)).fetchall()
    if not rows:
        return 0
    tx.connection.executemany(
        "UPDATE jobs SET state = 'pending' WHERE id = ? AND state = 'scheduled'",
        [(row[0],) for row in rows],
    )
    for id_, type_, queue, attempt in rows:
        tx.counters.move(queue, type_, JobState.SCHEDULED, JobState.PENDING)
        tx.events.state(id_, type_, queue, JobState.PENDING, attempt, "due")
    return len(rows)


def next_due(connection: sqlite3.Connection) -> int | None:
    """When the earliest scheduled job is due (microseconds since the epoch), None without one."""
    row = connection.execute("SELECT min(run_at) FROM jobs WHERE state = 'scheduled'").fetchone()
    return None if row[0] is None else int(row[0])

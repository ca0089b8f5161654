"""Databases with a long past or a long future, filled by SQL: one transaction a chunk.

Rows are as the store would have left them, attempts and counters too; what the events of long
finished jobs were is pruned in real life, so of those the newest million are made.
"""

from __future__ import annotations

import sqlite3

from orpheus.clock import SystemClock

_CHUNK = 100_000
_EVENTS_KEPT = 1_000_000
_COLUMNS = """type, queue, lane, state, priority, payload, max_retries, max_crashes, backoff_base,
    backoff_cap, timeout, created_at, run_at"""
_VALUES = "0, '{\"n\":100}', 3, 3, 1000000, 300000000, 3600000000"
_SERIES = """
WITH RECURSIVE series(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM series WHERE i < :n)
"""

_DONE = f"""
INSERT INTO jobs ({_COLUMNS}, result, attempt, started_at, finished_at, worker)
{_SERIES}
SELECT 'bench_sum', 'default', 'sync', 'done', {_VALUES}, :at + i, :at + i,
       '{{"sum":5050}}', 1, :at + i, :at + i + 5, 'main-1' FROM series
"""
_ATTEMPTS = """
INSERT INTO attempts (job_id, number, worker_id, worker, pid, boot_id, lease_expires, claimed_at,
                      started_at, finished_at, outcome)
SELECT id, 1, 1, 'main-1', 1, 'boot', 0, run_at, started_at, finished_at, 'done'
FROM jobs WHERE id > :after
"""
_EVENTS = """
INSERT INTO events (at, event, job_id, type, queue, state, attempt, reason)
SELECT finished_at, 'job.done', id, type, queue, 'done', 1, 'done' FROM jobs WHERE id > :after
"""
_OLD_EVENTS = "DELETE FROM events WHERE seq <= (SELECT max(seq) FROM events) - :kept"
_WAITING = f"""
INSERT INTO jobs ({_COLUMNS})
{_SERIES}
SELECT 'bench_sum', 'default', 'sync', :state, {_VALUES}, :at + i, :run_at + i FROM series
"""


def fill_done(connection: sqlite3.Connection, n: int) -> None:
    """`n` more jobs that were done an hour ago."""
    at = SystemClock().now() - 3600 * 10**6
    while n > 0:
        chunk = min(n, _CHUNK)
        connection.execute("BEGIN IMMEDIATE")
        after = connection.execute("SELECT coalesce(max(id), 0) FROM jobs").fetchone()[0]
        connection.execute(_DONE, {"n": chunk, "at": at})
        connection.execute(_ATTEMPTS, {"after": after})
        connection.execute(_EVENTS, {"after": after})
        connection.execute(_OLD_EVENTS, {"kept": _EVENTS_KEPT})
        _count(connection, "done", chunk)
        connection.execute("COMMIT")
        n -= chunk


def fill_waiting(connection: sqlite3.Connection, state: str, n: int) -> None:
    """`n` jobs that are pending, or scheduled for the day after tomorrow."""
    at = SystemClock().now() - 3600 * 10**6
    run_at = at + (0 if state == "pending" else 48 * 3600 * 10**6)
    while n > 0:
        chunk = min(n, _CHUNK)
        connection.execute("BEGIN IMMEDIATE")
        values = {"n": chunk, "at": at, "state": state, "run_at": run_at}
        connection.execute(_WAITING, values)
        connection.execute("INSERT OR IGNORE INTO queues (name) VALUES ('default')")
        _count(connection, state, chunk)
        connection.execute("COMMIT")
        n -= chunk


def _count(connection: sqlite3.Connection, state: str, n: int) -> None:
    key = ("default", "bench_sum", state)
    connection.execute("INSERT OR IGNORE INTO counters VALUES (?, ?, ?, 0)", key)
    connection.execute(
        "UPDATE counters SET n = n + ? WHERE queue = ? AND type = ? AND state = ?", (n, *key)
    )

"""Prune: forget what retention says, a little at a time, so that nobody waits for it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter

from orpheus.clock import SECOND_US
from orpheus.domain.event import JOBS_PRUNED
from orpheus.domain.job import JobState
from orpheus.store.control import delete_rows
from orpheus.store.idempotency import KEPT_US
from orpheus.store.staging import delete_given_up
from orpheus.store.transaction import Transaction

_AT_ONCE = 200
_EVENTS_AT_ONCE = 2000
_KEYS_AT_ONCE = 1000
_ACTIVITY_KEPT_SECONDS = 3600
_ENDED_WORKERS_KEPT = 100

# State literals, not parameters: only so is the partial index jobs_prune known to serve.
_ENDED = {
    JobState.DONE: "SELECT id, queue, type FROM jobs WHERE state = 'done' AND finished_at < ?"
    " ORDER BY finished_at LIMIT ?",
    JobState.FAILED: "SELECT id, queue, type FROM jobs WHERE state = 'failed' AND finished_at < ?"
    " ORDER BY finished_at LIMIT ?",
    JobState.CANCELLED: "SELECT id, queue, type FROM jobs WHERE state = 'cancelled'"
    " AND finished_at < ? ORDER BY finished_at LIMIT ?",
}


def has_old_jobs(connection: sqlite3.Connection, state: JobState, before: int) -> bool:
    """Whether `prune_jobs` would find any: a look outside the gate."""
    return connection.execute(_ENDED[state], (before, 1)).fetchone() is not None


def prune_jobs(tx: Transaction, state: JobState, before: int) -> bool:
    """Delete some jobs that ended in `state` before a time; True where more may be left."""
    rows = tx.connection.execute(_ENDED[state], (before, _AT_ONCE)).fetchall()
    if not rows:
        return False
    delete_rows(tx, [row[0] for row in rows])
    for (queue, type_), n in Counter((row[1], row[2]) for row in rows).items():
        tx.counters.move(queue, type_, state, None, n)
        data = {"queue": queue, "type": type_, "state": state, "count": n}
        tx.events.other(JOBS_PRUNED, queue=queue, data=json.dumps(data))
    return len(rows) == _AT_ONCE


def prune_events(tx: Transaction, keep: int) -> int:
    """Delete some of the oldest events beyond the newest `keep`; about how many more there are."""
    last = tx.next_id("events") - 1 - keep
    (oldest,) = tx.connection.execute("SELECT min(seq) FROM events").fetchone()
    if oldest is None or oldest > last:
        return 0
    # A range: a list of the rows to delete would cost as much again.
    until = min(last, oldest + _EVENTS_AT_ONCE - 1)
    tx.connection.execute("DELETE FROM events WHERE seq <= ?", (until,))
    return int(last - until)


def prune_rest(tx: Transaction) -> None:
    """Delete some old idempotency keys, old seconds of activity, workers that ended long ago, and
    payloads whose submit never came."""
    delete_given_up(tx)
    tx.connection.execute(
        "DELETE FROM idempotency_keys WHERE (scope, key) IN (SELECT scope, key"
        " FROM idempotency_keys WHERE created_at <= ? ORDER BY created_at LIMIT ?)",
        (tx.now - KEPT_US, _KEYS_AT_ONCE),
    )
    tx.connection.execute(
        "DELETE FROM activity WHERE second < ?", (tx.now // SECOND_US - _ACTIVITY_KEPT_SECONDS,)
    )
    tx.connection.execute(
        "DELETE FROM workers WHERE ended_at IS NOT NULL AND id < ("
        " SELECT min(id) FROM (SELECT id FROM workers WHERE ended_at IS NOT NULL"
        "                      ORDER BY id DESC LIMIT ?))",
        (_ENDED_WORKERS_KEPT,),
    )

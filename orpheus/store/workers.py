"""The register of workers: who lives, who ended and how."""

from __future__ import annotations

import json
from dataclasses import dataclass

from orpheus.clock import to_rfc3339
from orpheus.domain.event import WORKER_CRASHED, WORKER_STARTED, WORKER_STOPPED
from orpheus.store.transaction import Transaction


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker that is registered and has not been recorded as ended."""

    id: int
    name: str
    pool: str
    pid: int
    start_time: int
    boot_id: str
    state: str


def register(
    tx: Transaction, pool: str, pid: int, start_time: int, boot_id: str, lane: str
) -> tuple[int, str]:
    """Enter a worker and return its id and name (`main-17`).

    Ids are never reused, so a name means one process for the life of the database.
    """
    id_ = tx.next_id("workers")
    name = f"{pool}-{id_}"
    tx.connection.execute(
        "INSERT INTO workers (id, name, pool, pid, start_time, boot_id, lane, state, started_at,"
        " heartbeat_at) VALUES (?, ?, ?, ?, ?, ?, ?, 'idle', ?, ?)",
        (id_, name, pool, pid, start_time, boot_id, lane, tx.now, tx.now),
    )
    _event(tx, WORKER_STARTED, id_)
    return id_, name


def drain(tx: Transaction, worker_id: int) -> None:
    """Note that the worker takes no more jobs."""
    tx.connection.execute(
        "UPDATE workers SET state = 'draining' WHERE id = ? AND ended_at IS NULL", (worker_id,)
    )


def end(tx: Transaction, worker_id: int, crashed: bool, exit_: str | None) -> bool:
    """Record the end of a worker, once; False where it was recorded before."""
    changed = tx.connection.execute(
        "UPDATE workers SET state = ?, ended_at = ?, exit = ? WHERE id = ? AND ended_at IS NULL",
        ("crashed" if crashed else "stopped", tx.now, exit_, worker_id),
    ).rowcount
    if changed:
        _event(tx, WORKER_CRASHED if crashed else WORKER_STOPPED, worker_id)
    return bool(changed)


def live(tx: Transaction) -> list[LiveWorker]:
    """All workers not recorded as ended, of every pool."""
    return [
        LiveWorker(*row)
        for row in tx.connection.execute(
            "SELECT id, name, pool, pid, start_time, boot_id, state FROM workers"
            " WHERE ended_at IS NULL ORDER BY id"
        )
    ]


def expired(tx: Transaction, boot_id: str) -> set[int]:
    """Ids of live workers with a lease that ran out, or that lived in another boot."""
    rows = tx.connection.execute(
        "SELECT DISTINCT w.id FROM workers AS w LEFT JOIN attempts AS a"
        " ON a.worker_id = w.id AND a.outcome IS NULL"
        " WHERE w.ended_at IS NULL AND (w.boot_id <> ? OR a.lease_expires < ?)",
        (boot_id, tx.monotonic),
    )
    return {int(row[0]) for row in rows}


def _event(tx: Transaction, event: str, worker_id: int) -> None:
    name, pool, pid, lane, state, started_at, heartbeat_at, exit_ = tx.connection.execute(
        "SELECT name, pool, pid, lane, state, started_at, heartbeat_at, exit"
        " FROM workers WHERE id = ?",
        (worker_id,),
    ).fetchone()
    # Rare and small: the one place where JSON is made inside the gate.
    row = {
        "worker": name,
        "pool": pool,
        "pid": pid,
        "lane": lane,
        "state": state,
        "started_at": to_rfc3339(started_at),
        "heartbeat_at": to_rfc3339(heartbeat_at),
        "running": [],
        "exit": exit_,
    }
    tx.events.other(event, data=json.dumps({"worker": row}))

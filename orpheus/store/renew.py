"""Renew: extend the leases of workers that are known to live, and mark what they run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from orpheus.store.transaction import Transaction


def renew(tx: Transaction, worker_ids: Sequence[int], lease: int) -> int:
    """Extend every open attempt of these workers to `lease` nanoseconds from now.

    A worker's id is given once and never again, so it fences as its attempts' ids would. Returns
    how many leases were extended.
    """
    ids = json.dumps(list(worker_ids))
    extended = tx.connection.execute(
        "UPDATE attempts SET lease_expires = ? WHERE outcome IS NULL"
        " AND worker_id IN (SELECT value FROM json_each(?))",
        (tx.monotonic + lease, ids),
    ).rowcount
    tx.connection.execute(
        "UPDATE workers SET heartbeat_at = ? WHERE ended_at IS NULL"
        " AND id IN (SELECT value FROM json_each(?))",
        (tx.now, ids),
    )
    return extended


def mark_started(tx: Transaction, started: Mapping[int, int]) -> int:
    """Note when running attempts began (attempt id -> microseconds), for those who look.

    Returns how many marks were new.
    """
    marked = 0
    for attempt_id, started_at in started.items():
        row = tx.connection.execute(
            "UPDATE attempts SET started_at = ? WHERE id = ? AND outcome IS NULL"
            " AND started_at IS NULL RETURNING job_id",
            (started_at, attempt_id),
        ).fetchone()
        if row is not None:
            tx.connection.execute(
                "UPDATE jobs SET started_at = ? WHERE id = ?", (started_at, row[0])
            )
            marked += 1
    return marked

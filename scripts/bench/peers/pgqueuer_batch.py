"""PgQueuer on PostgreSQL with batches of 100: its best known tuning."""

from __future__ import annotations

from bench.peers import pgqueuer_postgres
from bench.peers.pgqueuer_postgres import DURABILITY, SERVER, enqueue, setup, stamp

TITLE = "PgQueuer, batch 100 (PostgreSQL)"
NOTE = "two workers, batches of 100 (tuned)"
JOBS = 8000


def workers() -> list[list[str]]:
    """Two workers."""
    return pgqueuer_postgres.workers(batch=100)


__all__ = ["DURABILITY", "JOBS", "NOTE", "SERVER", "TITLE", "enqueue", "setup", "stamp", "workers"]

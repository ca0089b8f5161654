"""Rows of the database in the shapes of the contract.

Here, and for jobs in `store.job_shape`, columns become fields: times as RFC 3339, durations as
seconds, JSON text as values. Used by the routes, the pages and the dashboard topics. `api.schemas`
has the same shapes as models, for the OpenAPI document and the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json
from starlette.responses import Response

from orpheus.clock import SECOND_US, to_rfc3339
from orpheus.domain.job import JobState
from orpheus.handlers.registry import JobType
from orpheus.settings import Settings
from orpheus.store.job_shape import Row, job_view, row_view
from orpheus.store.reads_figures import QueueFigures, Summary, WorkerFigures

__all__ = ["job_view", "row_view"]


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON with a newline at its end."""
    return Response(to_json(value) + b"\n", status, headers, "application/json")


def log_view(row: Row) -> dict[str, Any]:
    """One line of a handler's output."""
    return {
        "seq": row["seq"],
        "at": to_rfc3339(row["at"]),
        "attempt": row["attempt"],
        "level": row["level"],
        "stream": row["stream"],
        "message": row["message"],
        "fields": from_json(row["fields"]),
    }


def queue_view(queue: QueueFigures, now: int) -> dict[str, Any]:
    waiting = ("pending", "scheduled", "blocked", "in_progress")
    return {
        "queue": queue.name,
        "paused": queue.paused,
        **{state: queue.states.get(state, 0) for state in waiting},
        "oldest_pending_seconds": age(queue.oldest, now),
    }


def worker_view(worker: WorkerFigures) -> dict[str, Any]:
    row = worker.row
    return {
        "worker": row["name"],
        "pool": row["pool"],
        "pid": row["pid"],
        "lane": row["lane"],
        "state": worker.state,
        "started_at": to_rfc3339(row["started_at"]),
        "heartbeat_at": to_rfc3339(row["heartbeat_at"]),
        "running": [
            {
                "job": attempt["job_id"],
                "type": attempt["type"],
                "attempt": attempt["number"],
                "started_at": to_rfc3339(attempt["started_at"]),
            }
            for attempt in worker.running
        ],
        "exit": row["exit"],
    }


def stats_view(summary: Summary, now: int, sizes: tuple[int, int]) -> dict[str, Any]:
    main, wal = sizes
    return {
        "jobs": {state: summary.states.get(state, 0) for state in JobState},
        "last_minute": summary.last_minute,
        "oldest_pending_seconds": age(summary.oldest, now),
        "workers": summary.workers,
        "seq": summary.seq,
        "database": {"bytes": main, "wal_bytes": wal},
    }


def type_view(job_type: JobType, settings: Settings) -> dict[str, Any]:
    """A registered type, with the settings where it names no value of its own."""
    return {
        "type": job_type.name,
        "doc": job_type.doc,
        "lane": job_type.lane,
        "queue": job_type.queue,
        "max_retries": _or(job_type.max_retries, settings.max_retries),
        "max_crashes": _or(job_type.max_crashes, settings.max_crashes),
        "timeout": _or(job_type.timeout, settings.timeout_seconds),
        "schema": job_type.schema,
        "source": job_type.source,
    }


def age(since: int | None, now: int) -> float | None:
    """Seconds from a wall time (µs) to now; never negative."""
    return None if since is None else max(0, now - since) / SECOND_US


def _or(value: float | None, default: float) -> float:
    return default if value is None else value

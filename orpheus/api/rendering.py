"""Rows of the database in the shapes of the contract.

The one place where columns become fields: times as RFC 3339, durations as seconds, JSON text as
values. Used by the routes, the pages and the dashboard topics. `api.schemas` has the same shapes as
models, for the OpenAPI document and the tests.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json
from starlette.responses import Response

from orpheus.clock import SECOND_US, to_rfc3339
from orpheus.domain.job import JobState
from orpheus.handlers.registry import JobType
from orpheus.settings import Settings
from orpheus.store.reads_figures import QueueFigures, Summary, WorkerFigures

Row = sqlite3.Row | Mapping[str, Any]


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """JSON with a newline at its end."""
    return Response(to_json(value) + b"\n", status, headers, "application/json")


def job_view(row: Row, attempts: str | None = None) -> dict[str, Any]:
    """A whole job. `attempts` is the JSON array `store.reads` makes; None: it has none yet."""
    error = row["error"]
    return {
        "id": row["id"],
        "type": row["type"],
        "queue": row["queue"],
        "state": row["state"],
        "priority": row["priority"],
        "payload": from_json(row["payload"]),
        "result": _json(row["result"]),
        "error": None if error is None else from_json(error),
        **_middle(row),
        "meta": from_json(row["meta"]),
        **_end(row),
        "attempts": [] if attempts is None else [_attempt(item) for item in from_json(attempts)],
    }


def row_view(row: Row) -> dict[str, Any]:
    """A job as lists show it: without payload, result, meta, attempts and the traceback."""
    error = _json(row["error"])
    if error is not None:
        error.pop("traceback", None)
    return {
        "id": row["id"],
        "type": row["type"],
        "queue": row["queue"],
        "state": row["state"],
        "priority": row["priority"],
        "error": error,
        **_middle(row),
        **_end(row),
    }


def _middle(row: Row) -> dict[str, Any]:
    return {
        "attempt": row["attempt"],
        "retries": row["retries"],
        "crashes": row["crashes"],
        "max_retries": row["max_retries"],
        "max_crashes": row["max_crashes"],
        "progress": _json(row["progress"]),
        "tags": from_json(row["tags"]),
    }


def _end(row: Row) -> dict[str, Any]:
    return {
        "unique_key": row["unique_key"],
        "ref": row["ref"],
        "depends_on": [],
        "created_at": to_rfc3339(row["created_at"]),
        "run_at": to_rfc3339(row["run_at"]),
        "started_at": _time(row["started_at"]),
        "finished_at": _time(row["finished_at"]),
        "timeout": row["timeout"] / SECOND_US,
        "worker": row["worker"],
        "cancel_requested": bool(row["cancel_requested"]),
    }


def _attempt(values: list[Any]) -> dict[str, Any]:
    number, worker, pid, claimed_at, started_at, finished_at, outcome, error, exit_ = values
    return {
        "attempt": number,
        "worker": worker,
        "pid": pid,
        "claimed_at": to_rfc3339(claimed_at),
        "started_at": _time(started_at),
        "finished_at": _time(finished_at),
        "outcome": outcome,
        "error": error,
        "exit": exit_,
    }


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


def _time(value: int | None) -> str | None:
    return None if value is None else to_rfc3339(value)


def _json(text: str | None) -> Any:
    return None if text is None else from_json(text)

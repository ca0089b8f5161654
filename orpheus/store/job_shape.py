"""Jobs in the shape of the contract: where the columns of a job become its fields.

Times become RFC 3339, durations seconds, JSON text values. Used by the API and by the client that
writes to the file itself, so that both answer the same. Call it after the gate, never inside.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from orpheus.clock import SECOND_US, to_rfc3339
from orpheus.store.staging import PAYLOAD

Row = sqlite3.Row | Mapping[str, Any]

# What `row_view` needs.
ROW_COLUMNS = (
    "jobs.id, type, queue, state, priority, error, attempt, retries, crashes, max_retries, "
    "max_crashes, progress, tags, unique_key, ref, created_at, run_at, started_at, finished_at, "
    "timeout, worker, cancel_requested"
)
# What `job_view` needs, and `attempts`, a JSON array of arrays as text.
JOB = f"""
SELECT {ROW_COLUMNS}, result, meta, {PAYLOAD} AS payload, (
    SELECT json_group_array(json_array(number, worker, pid, claimed_at, started_at, finished_at,
                                       outcome, json(error), exit))
    FROM (SELECT * FROM attempts WHERE job_id = jobs.id ORDER BY number)
) AS attempts
FROM jobs WHERE id = ?
"""  # noqa: S608


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


def _time(value: int | None) -> str | None:
    return None if value is None else to_rfc3339(value)


def _json(text: str | None) -> Any:
    return None if text is None else from_json(text)

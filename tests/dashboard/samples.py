"""Rows in the contract's shapes, for pages rendered without an API."""

from __future__ import annotations

from typing import Any

from orpheus.api.pages.blanks import BLANK_ATTEMPT, BLANK_JOB, BLANK_LINE, BLANK_WORKER
from orpheus.api.pages.query import JobsQuery
from orpheus.domain.job import JobState

AT = "2026-01-31T12:00:00.123456Z"
LATER = "2026-01-31T12:00:01.500000Z"

STATS: dict[str, Any] = {
    "jobs": dict.fromkeys(JobState, 0),
    "last_minute": {"submitted": 0, "done": 0, "failed": 0, "cancelled": 0},
    "oldest_pending_seconds": None,
    "workers": {"idle": 0, "running": 0},
}


def job(**changes: Any) -> dict[str, Any]:
    """A whole job that is done, changed as asked."""
    return {
        "id": 7,
        "type": "sum_range",
        "queue": "default",
        "state": "done",
        "priority": 0,
        "error": None,
        "attempt": 1,
        "retries": 0,
        "crashes": 0,
        "max_retries": 3,
        "max_crashes": 3,
        "progress": None,
        "tags": [],
        "unique_key": None,
        "ref": None,
        "created_at": AT,
        "run_at": AT,
        "started_at": AT,
        "finished_at": LATER,
        "timeout": 60.0,
        "worker": "main-1",
        "cancel_requested": False,
        "attempts": [],
        **changes,
    }


def overview(**changes: Any) -> dict[str, Any]:
    """What the overview's template needs."""
    return {
        "query": JobsQuery(limit=20),
        "stats": STATS,
        "jobs": {"items": []},
        "workers": {"items": []},
        "types": [],
        "curl_line": "curl",
        "blank_job": BLANK_JOB,
        "blank_worker": BLANK_WORKER,
        **changes,
    }


def job_page(**changes: Any) -> dict[str, Any]:
    """What the job page's template needs."""
    return {
        "job": job(),
        "texts": {"payload": "{}", "result": None, "meta": "{}"},
        "logs": [],
        "actions": {"cancel": [], "retry": []},
        "active": set(),
        "blank_attempt": BLANK_ATTEMPT,
        "blank_line": BLANK_LINE,
        **changes,
    }

"""Rows without content.

Each macro is rendered once more with one of these inside a `<template>`, which the browser clones
and fills when something new appears. Every key a macro reads must be here.
"""

from __future__ import annotations

from typing import Any

BLANK_JOB: dict[str, Any] = {
    "id": 0,
    "type": "",
    "queue": "",
    "state": "pending",
    "attempt": 0,
    "progress": None,
    "error": None,
    "cancel_requested": False,
    "created_at": None,
    "run_at": None,
    "started_at": None,
    "finished_at": None,
}
BLANK_ATTEMPT: dict[str, Any] = {
    "attempt": 0,
    "worker": "",
    "pid": 0,
    "claimed_at": None,
    "started_at": None,
    "finished_at": None,
    "outcome": "done",
    "error": None,
    "exit": None,
}
BLANK_LINE: dict[str, Any] = {
    "seq": 0,
    "at": "",
    "attempt": 0,
    "level": "info",
    "stream": "log",
    "message": "",
    "fields_text": None,
}
BLANK_WORKER: dict[str, Any] = {
    "worker": "",
    "pool": "",
    "pid": 0,
    "lane": "sync",
    "state": "idle",
    "started_at": None,
    "heartbeat_at": None,
    "running": [],
    "exit": None,
}

"""One event as machine clients see it.

Rows of the events table become frames here and nowhere else. The JSON is made on first use and
shared by all readers.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from pydantic_core import from_json, to_json

from orpheus.clock import to_rfc3339


class FeedEvent:
    """A row of the events table; `json` is its part of a frame."""

    __slots__ = ("_json", "_row", "at", "job_id", "queue", "seq", "type")

    def __init__(self, row: sqlite3.Row) -> None:
        self._row = row
        self._json: str | None = None
        self.seq: int = row["seq"]
        self.at: int = row["at"]
        self.job_id: int | None = row["job_id"]
        self.queue: str | None = row["queue"]
        self.type: str | None = row["type"]

    @property
    def json(self) -> str:
        if self._json is None:
            self._json = to_json(self.view()).decode()
        return self._json

    def view(self) -> dict[str, Any]:
        """The event as a plain value."""
        row = self._row
        view: dict[str, Any] = {
            "seq": self.seq,
            "at": to_rfc3339(self.at),
            "event": row["event"],
            "job": None,
            "reason": row["reason"],
        }
        about = {name: row[name] for name in ("type", "queue", "state")}
        if self.job_id is not None:
            view["job"] = {"id": self.job_id, **about, "attempt": row["attempt"]}
        else:
            view |= {name: value for name, value in about.items() if value is not None}
        if row["data"] is not None:
            view |= from_json(row["data"])
        return view

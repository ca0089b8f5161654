"""What the pages show, in the contract's shapes.

The views ask here, so that the first paint and the live topics say the same words. The one
addition: payload, result and meta as stored text, since a page must show them unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from pydantic_core import to_json

from orpheus.api import answers
from orpheus.api.pages.example import example_payload
from orpheus.api.pages.json_text import indent
from orpheus.api.pages.query import JobsQuery
from orpheus.api.parameters import filter_names, filter_states, job_id
from orpheus.api.rendering import job_view, log_view, row_view
from orpheus.api.services import services
from orpheus.store.reads import Reads
from orpheus.store.reads_jobs import JobFilter

_ENDED = frozenset({"stopped", "crashed"})


@dataclass(frozen=True, slots=True)
class JobDetails:
    """A job, the newest lines of its log, and its JSON columns as text (`result` may be None)."""

    view: dict[str, Any]
    logs: list[dict[str, Any]]
    texts: dict[str, str | None]


async def stats(request: Request) -> dict[str, Any]:
    return await answers.stats(_reads(request))


async def jobs(request: Request, query: JobsQuery) -> dict[str, Any]:
    """A page of rows; `older` is where the next page goes on, None at the end.

    Raises InvalidRequest for a filter that cannot be.
    """
    page = await _reads(request).jobs(_filter(query), query.limit, query.before)
    return {"items": [row_view(row) for row in page.rows], "older": page.next}


async def job(request: Request, number: str) -> JobDetails | None:
    """None for an unknown id. Raises InvalidRequest for what cannot be one."""
    row = await _reads(request).job(job_id(number))
    if row is None:
        return None
    result = row["result"]
    return JobDetails(
        view=job_view(row, row["attempts"]),
        logs=[_with_text(log_view(line)) for line in await _reads(request).last_logs(row["id"])],
        texts={
            "payload": indent(row["payload"]),
            "result": None if result is None else indent(result),
            "meta": indent(row["meta"]),
        },
    )


async def workers(request: Request) -> dict[str, Any]:
    return await answers.workers(_reads(request))


async def ended_workers(request: Request) -> list[dict[str, Any]]:
    """The last ones that stopped or crashed, newest first."""
    rows = await answers.workers(_reads(request), include_ended=True)
    ended = [row for row in rows["items"] if row["state"] in _ENDED]
    return sorted(ended, key=lambda row: str(row["heartbeat_at"]), reverse=True)


async def queue_names(request: Request) -> list[str]:
    return [queue.name for queue in await _reads(request).queues()]


def types(request: Request) -> list[dict[str, Any]]:
    """Each type with an example payload for the submit box."""
    found = services(request)
    rows = answers.types(found.registry, found.settings)["items"]
    return [{**row, "example": example_payload(row["schema"])} for row in rows]


def _reads(request: Request) -> Reads:
    return services(request).reads


def _filter(query: JobsQuery) -> JobFilter:
    return JobFilter(
        states=filter_states(query.states),
        types=filter_names("type", query.types),
        queues=filter_names("queue", query.queues),
        tags=filter_names("tag", query.tags),
    )


def _with_text(line: dict[str, Any]) -> dict[str, Any]:
    fields = line["fields"]
    return {**line, "fields_text": to_json(fields).decode() if fields else None}

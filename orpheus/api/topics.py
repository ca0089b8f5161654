"""What a dashboard can subscribe to, and how each topic is answered.

Topics are frozen values, so that equal subscriptions of all clients are one (`feed.topics`).
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, Literal, cast

from orpheus.api import answers
from orpheus.api.parameters import MAX_ID, filter_names, filter_states
from orpheus.errors import InvalidRequest
from orpheus.store.reads import Reads
from orpheus.store.reads_jobs import JobFilter

Name = Literal["summary", "jobs", "job", "workers", "queues"]
_ARGS: dict[Name, frozenset[str]] = {
    "summary": frozenset(),
    "jobs": frozenset({"state", "type", "queue", "tag", "limit"}),
    "job": frozenset({"id"}),
    "workers": frozenset(),
    "queues": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Topic:
    """A question whose answer changes."""

    name: Name
    job: int = 0
    filter: JobFilter | None = None
    limit: int = 50


def parse_topic(name: object, args: object) -> Topic:
    """The topic a client asked for. Raises InvalidRequest."""
    if not isinstance(name, str) or name not in _ARGS:
        raise InvalidRequest("invalid_parameter", f"topic must be one of: {', '.join(_ARGS)}")
    if not isinstance(args, dict) or not args.keys() <= _ARGS[name]:
        known = ", ".join(sorted(_ARGS[name])) or "none"
        raise InvalidRequest("invalid_parameter", f"args of {name}: {known}")
    if name == "job":
        return Topic("job", job=_integer(args, "id", None, MAX_ID))
    if name == "jobs":
        wanted = JobFilter(
            states=filter_states(_values(args, "state")),
            types=filter_names("type", _values(args, "type")),
            queues=filter_names("queue", _values(args, "queue")),
            tags=filter_names("tag", _values(args, "tag")),
        )
        return Topic("jobs", filter=wanted, limit=_integer(args, "limit", 50, 200))
    return Topic(cast(Name, name))


async def load_topic(reads: Reads, topic: Hashable) -> object | None:
    """The topic's value now; None where what it asks about is gone."""
    assert isinstance(topic, Topic)
    match topic.name:
        case "summary":
            return await answers.stats(reads)
        case "jobs":
            page = await answers.jobs(reads, topic.filter, topic.limit)
            return {"items": page["items"]}
        case "job":
            return await answers.job_with_logs(reads, topic.job)
        case "workers":
            return await answers.workers(reads)
        case "queues":
            return await answers.queues(reads)


def _values(args: dict[str, Any], name: str) -> list[str]:
    """One value, several, or none."""
    value = args.get(name) or []
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(item, str) for item in values):
        raise InvalidRequest("invalid_parameter", f"{name} must be a string or several")
    return values


def _integer(args: dict[str, Any], name: str, default: int | None, high: int) -> int:
    value = args.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= high:
        raise InvalidRequest("invalid_parameter", f"{name} must be an integer from 1 to {high}")
    return value

"""Batches of jobs that differ in nothing but their payloads, as most large ones do.

Their options are judged once instead of ten thousand times; every payload is judged like any other.
Called by the API; what is not alike goes through `prepare` job by job.
"""

from __future__ import annotations

from collections.abc import Sequence

from orpheus.handlers.prepare import check_payload
from orpheus.handlers.registry import JobType
from orpheus.handlers.strict_json import dump_json

_PLAIN = frozenset({"type", "payload"})


def are_alike(requests: Sequence[object]) -> bool:
    """Whether all ask for the same type, and for nothing else but a payload, an object."""
    first = requests[0]
    if len(requests) < 2 or not isinstance(first, dict):
        return False
    type_ = first.get("type")
    return all(
        isinstance(request, dict)
        and request.keys() == _PLAIN
        and request["type"] == type_
        and isinstance(request["payload"], dict)
        for request in requests
    )


def payloads_of(requests: Sequence[object], job_type: JobType, start: int) -> list[str]:
    """The payloads' texts. `start` is the place of the first in its batch.

    Raises InvalidRequest as `prepare` does.
    """
    texts = []
    for index, request in enumerate(requests, start):
        assert isinstance(request, dict)
        text = dump_json(request["payload"])
        check_payload(job_type, text, ("jobs", index))
        texts.append(text)
    return texts

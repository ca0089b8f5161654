"""Batches of jobs that differ in nothing but their payloads, as most large ones do.

Their options are judged once instead of ten thousand times; every payload is judged like any other,
but many in one call. Called by the API and by the direct client; what is not alike goes through
`prepare` job by job.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from orpheus.handlers.prepare import check_payload
from orpheus.handlers.registry import JobType

Payload = dict[str, Any]

_OPTIONS = frozenset({"type", "queue", "priority", "delay", "run_at", "max_retries", "timeout"})
_PLAIN = frozenset({str, int, float})
# Payloads judged in one call: few enough for what is made of them to stay in the CPU's cache.
_AT_ONCE = 200


def alike_payloads(requests: Sequence[object]) -> list[Payload] | None:
    """The payloads, objects, where all ask for the same in everything else.

    Options may be plain ones only: what differs from job to job by nature, or is no number and no
    string, is judged job by job.
    """
    if len(requests) < 2 or set(map(type, requests)) != {dict}:
        return None
    jobs: Sequence[dict[str, Any]] = requests  # type: ignore[assignment]
    options = jobs[0].keys() - {"payload"}
    if not options <= _OPTIONS or set(map(len, jobs)) != {len(options) + 1}:
        return None
    try:
        payloads = [job["payload"] for job in jobs]
        if not all(_same([job[option] for job in jobs]) for option in options):
            return None
    except KeyError:
        return None
    return payloads if set(map(type, payloads)) == {dict} else None


def _same(values: list[Any]) -> bool:
    # Without the types, 1, 1.0 and True would be the same.
    (kind, *others) = set(map(type, values))
    if others or kind not in _PLAIN or len(set(values)) != 1:
        return False
    return kind is not float or math.isfinite(values[0])


def all_fit(job_type: JobType, texts: Sequence[str]) -> bool:
    """Whether every payload fits the handler; a no may be wrong, and `check_payloads` tells."""
    return all(
        job_type.signature.all_valid(texts[start : start + _AT_ONCE])
        for start in range(0, len(texts), _AT_ONCE)
    )


def check_payloads(job_type: JobType, texts: Sequence[str], start: int) -> None:
    """Raise InvalidRequest as `prepare` does; `start` is the place of the first in its batch."""
    if all_fit(job_type, texts):
        return
    for index, text in enumerate(texts, start):
        check_payload(job_type, text, ("jobs", index))

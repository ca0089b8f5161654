"""Turns a request for a job into a `NewJob`: the one place where a submit is judged.

Called by the API for each job of a request, and by whoever submits without HTTP. Takes the value
that `strict_json` made, checks every field strictly, collects all that is wrong, and validates
the payload against the handler's signature. Precedence of options: job, type, setting. Reads no
clock and writes nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from orpheus.clock import SECOND_US
from orpheus.domain.job import NewJob
from orpheus.errors import InvalidRequest
from orpheus.handlers import fields, limits
from orpheus.handlers.declaration import Backoff
from orpheus.handlers.fields import FieldError, Reader
from orpheus.handlers.registry import JobType, Registry
from orpheus.handlers.strict_json import Location

T = TypeVar("T")

# In this order they are judged. Made once: a full batch is ten thousand jobs.
_READERS: dict[str, Reader[Any]] = {
    "payload": fields.json_object,
    "queue": fields.name,
    "priority": fields.integer(*limits.PRIORITY),
    "delay": fields.delay,
    "run_at": fields.moment,
    "max_retries": fields.integer(*limits.MAX_RETRIES),
    "timeout": fields.timeout,
    "unique_key": fields.name,
    "tags": fields.tags,
    "meta": fields.meta,
}
# Without a default of their own: absent and null are the same.
_NULLABLE = frozenset({"queue", "delay", "run_at", "max_retries", "timeout", "unique_key"})
FIELDS = ("type", *_READERS)
NOT_YET = ("depends_on", "on_parent_failure", "ref")

_KNOWN_TYPES_SHOWN = 20
_MAX_ERRORS = 20
_REQUIRED = "is required: the name of a job type, as in GET /types"
_USUAL_BACKOFF = Backoff()
_KNOWN = frozenset(FIELDS)

_Wrong = tuple[str, FieldError]


class Defaults(Protocol):
    """The settings for what neither the job nor its type says."""

    @property
    def timeout_seconds(self) -> float:
        """Seconds an attempt may run."""

    @property
    def max_retries(self) -> int:
        """Failures that are tried again."""

    @property
    def max_crashes(self) -> int:
        """Crashes that end a job."""


def prepare(request: object, registry: Registry, defaults: Defaults, loc: Location = ()) -> NewJob:
    """The job that `request`, a parsed JSON value, asks for.

    `loc` is where the request stands in its body, such as `("jobs", 3)`. Raises InvalidRequest;
    its code is that of the first thing wrong, its errors name all of them.
    """
    if not isinstance(request, dict):
        message = 'a job must be an object such as {"type": "wordcount", "payload": {}}'
        raise InvalidRequest("wrong_type", message, ((loc, message),))
    wrong: list[_Wrong] = []
    if not request.keys() <= _KNOWN:
        _refuse_unknown(request, wrong)
    job_type = _type(request, registry, wrong)
    given = _read(request, wrong)
    if "delay" in given and "run_at" in given:
        wrong.append(("run_at", FieldError("invalid_time", "give delay or run_at, not both")))
    if job_type is None or wrong:
        raise _refusal(wrong, loc)
    payload = given.get("payload", "{}")
    check_payload(job_type, payload, loc)

    backoff = job_type.backoff or _USUAL_BACKOFF
    return NewJob(
        type=job_type.name,
        queue=given.get("queue") or job_type.queue,
        lane=job_type.lane,
        payload=payload,
        priority=given.get("priority", 0),
        run_at=given.get("run_at"),
        delay=given.get("delay"),
        max_retries=_first(given.get("max_retries"), job_type.max_retries, defaults.max_retries),
        max_crashes=_first(None, job_type.max_crashes, defaults.max_crashes),
        backoff_base=round(backoff.base * SECOND_US),
        backoff_cap=round(backoff.cap * SECOND_US),
        timeout=given.get("timeout")
        or _microseconds(_first(None, job_type.timeout, defaults.timeout_seconds)),
        unique_key=given.get("unique_key"),
        tags=given.get("tags", ()),
        meta=given.get("meta", "{}"),
    )


def _refuse_unknown(request: Mapping[str, object], wrong: list[_Wrong]) -> None:
    """Fields nobody reads are errors, not silence."""
    for field in request:
        if len(wrong) == _MAX_ERRORS:
            return
        if field in NOT_YET:
            problem = FieldError("not_supported", "is not supported yet; leave it out")
            wrong.append((field, problem))
        elif field not in _KNOWN:
            near = difflib.get_close_matches(field[:100], FIELDS, n=1)
            advice = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(FIELDS)}"
            problem = FieldError("unknown_field", f"is no field of a job{advice}")
            wrong.append((field[:100], problem))


def _type(request: Mapping[str, object], registry: Registry, wrong: list[_Wrong]) -> JobType | None:
    """The one field that must be there. None only where it is wrong."""
    try:
        if "type" not in request:
            raise FieldError("wrong_type", _REQUIRED)
        return _known_type(request["type"], registry)
    except FieldError as error:
        wrong.append(("type", error))
        return None


def _read(request: Mapping[str, object], wrong: list[_Wrong]) -> dict[str, Any]:
    """The other fields that are given, checked and in the form `NewJob` has them."""
    given: dict[str, Any] = {}
    for field, read in _READERS.items():
        if field not in request:
            continue
        value = request[field]
        if value is None and field in _NULLABLE:
            continue
        try:
            given[field] = read(value)
        except FieldError as error:
            wrong.append((field, error))
    return given


def _refusal(wrong: list[_Wrong], loc: Location) -> InvalidRequest:
    """What tells everything noted."""
    first_field, first = wrong[0]
    return InvalidRequest(
        first.code,
        f"{ascii(first_field)[1:-1]} {first.message}",
        tuple(((*loc, field), error.message) for field, error in wrong),
    )


def _known_type(value: object, registry: Registry) -> JobType:
    name = fields.name(value)
    job_type = registry.get(name)
    if job_type is None:
        raise FieldError("unknown_type", f"{name!r} is not known; {_advice(name, registry)}")
    return job_type


def _advice(name: str, registry: Registry) -> str:
    names = registry.names()
    near = difflib.get_close_matches(name, names)
    if near:
        return f"did you mean {' or '.join(near)}?"
    more = ", …" if len(names) > _KNOWN_TYPES_SHOWN else ""
    return f"known: {', '.join(names[:_KNOWN_TYPES_SHOWN])}{more}"


def check_payload(job_type: JobType, payload: str, loc: Location) -> None:
    """Raise InvalidRequest where the payload does not fit the handler."""
    try:
        job_type.signature.validated(payload)
    except InvalidRequest as error:
        raise InvalidRequest(
            error.code,
            f"{error.detail}; GET /types shows the schema of {job_type.name}",
            tuple(((*loc, *place), text) for place, text in error.errors),
        ) from error


def _first(job: T | None, job_type: T | None, default: T) -> T:
    if job is not None:
        return job
    return default if job_type is None else job_type


def _microseconds(seconds: float) -> int:
    return max(1, round(seconds * SECOND_US))

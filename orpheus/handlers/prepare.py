"""Turns a request for a job into a `NewJob`: the one place where a submit is judged.

Called by the API for each job of a request, and by whoever submits without HTTP. Takes the value
that `strict_json` made, checks every field strictly, collects all that is wrong, and validates
the payload against the handler's signature. Precedence of options: job, type, setting. Reads no
clock and writes nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Protocol, TypeVar

from orpheus.clock import SECOND_US
from orpheus.domain.job import NewJob
from orpheus.errors import InvalidRequest
from orpheus.handlers import fields, limits
from orpheus.handlers.declaration import Backoff
from orpheus.handlers.fields import FieldError, Reader
from orpheus.handlers.registry import JobType, Registry
from orpheus.handlers.strict_json import Location

T = TypeVar("T")

FIELDS = (
    "type",
    "payload",
    "queue",
    "priority",
    "delay",
    "run_at",
    "max_retries",
    "timeout",
    "unique_key",
    "tags",
    "meta",
)
NOT_YET = ("depends_on", "on_parent_failure", "ref")

_KNOWN_TYPES_SHOWN = 20
_MAX_ERRORS = 20
_REQUIRED = "is required: the name of a job type, as in GET /types"
_USUAL_BACKOFF = Backoff()


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
    reader = _Reader(request, loc)
    reader.refuse_unknown()
    job_type = reader.type(lambda value: _known_type(value, registry))
    payload = reader.given("payload", fields.json_object, "{}")
    queue = reader.optional("queue", fields.name)
    priority = reader.given("priority", fields.integer(*limits.PRIORITY), 0)
    delay = reader.optional("delay", fields.delay)
    run_at = reader.optional("run_at", fields.moment)
    max_retries = reader.optional("max_retries", fields.integer(*limits.MAX_RETRIES))
    timeout = reader.optional("timeout", fields.timeout)
    unique_key = reader.optional("unique_key", fields.name)
    tags: tuple[str, ...] = reader.given("tags", fields.tags, ())
    meta = reader.given("meta", fields.meta, "{}")
    if delay is not None and run_at is not None:
        reader.wrong("run_at", FieldError("invalid_time", "give delay or run_at, not both"))
    job_type = reader.finish(job_type)
    _check_payload(job_type, payload, loc)

    backoff = job_type.backoff or _USUAL_BACKOFF
    return NewJob(
        type=job_type.name,
        queue=queue or job_type.queue,
        lane=job_type.lane,
        payload=payload,
        priority=priority,
        run_at=run_at,
        delay=delay,
        max_retries=_first(max_retries, job_type.max_retries, defaults.max_retries),
        max_crashes=_first(job_type.max_crashes, defaults.max_crashes),
        backoff_base=round(backoff.base * SECOND_US),
        backoff_cap=round(backoff.cap * SECOND_US),
        timeout=timeout or _microseconds(_first(job_type.timeout, defaults.timeout_seconds)),
        unique_key=unique_key,
        tags=tags,
        meta=meta,
    )


class _Reader:
    """Reads the fields of one request and remembers what is wrong with them."""

    def __init__(self, request: Mapping[str, object], loc: Location) -> None:
        self._request = request
        self._loc = loc
        self._wrong: list[tuple[str, FieldError]] = []

    def refuse_unknown(self) -> None:
        """Fields nobody reads are errors, not silence."""
        for field in self._request:
            if len(self._wrong) == _MAX_ERRORS:
                return
            if field in NOT_YET:
                self.wrong(field, FieldError("not_supported", "is not supported yet; leave it out"))
            elif field not in FIELDS:
                near = difflib.get_close_matches(field[:100], FIELDS, n=1)
                advice = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(FIELDS)}"
                self.wrong(field, FieldError("unknown_field", f"is no field of a job{advice}"))

    def type(self, read: Reader[T]) -> T | None:
        """The one field that must be there. None only where it is wrong."""
        if "type" not in self._request:
            self.wrong("type", FieldError("wrong_type", _REQUIRED))
            return None
        return self._read("type", read)

    def optional(self, field: str, read: Reader[T]) -> T | None:
        """A field without a default of its own: absent and null are the same."""
        return None if self._request.get(field) is None else self._read(field, read)

    def given(self, field: str, read: Reader[T], default: T) -> T:
        """A field with a default."""
        value = self._read(field, read) if field in self._request else default
        return default if value is None else value

    def wrong(self, field: str, error: FieldError) -> None:
        """Note a problem."""
        self._wrong.append((field[:100], error))

    def finish(self, job_type: JobType | None) -> JobType:
        """The type, or the InvalidRequest that tells everything noted."""
        if job_type is not None and not self._wrong:
            return job_type
        first_field, first = self._wrong[0]
        raise InvalidRequest(
            first.code,
            f"{ascii(first_field)[1:-1]} {first.message}",
            tuple(((*self._loc, field), error.message) for field, error in self._wrong),
        )

    def _read(self, field: str, read: Reader[T]) -> T | None:
        try:
            return read(self._request[field])
        except FieldError as error:
            self.wrong(field, error)
            return None


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


def _check_payload(job_type: JobType, payload: str, loc: Location) -> None:
    try:
        job_type.signature.arguments(payload)
    except InvalidRequest as error:
        raise InvalidRequest(
            error.code,
            f"{error.detail}; GET /types shows the schema of {job_type.name}",
            tuple(((*loc, *place), text) for place, text in error.errors),
        ) from error


def _first(*values: T | None) -> T:
    """The first that is set; the last one always is."""
    return next(value for value in values if value is not None)


def _microseconds(seconds: float) -> int:
    return max(1, round(seconds * SECOND_US))

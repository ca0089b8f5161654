"""Strict readers of single values: each takes what came out of JSON and returns it checked.

Used by `prepare` for requests and by `@job` for its options, so that both know the same ranges.
No coercion: `"5"` is no number and `true` no integer. Raises FieldError, never anything else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from orpheus.clock import SECOND_US, from_datetime
from orpheus.handlers import limits
from orpheus.handlers.strict_json import dump_json

T = TypeVar("T")
Reader = Callable[[object], T]


class FieldError(Exception):
    """One value is wrong: `code` of the contract and what to send instead."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def name(value: object) -> str:
    """A name as types, queues, tags and unique keys have it."""
    if not isinstance(value, str):
        raise FieldError("wrong_type", "must be a string")
    if not limits.NAME.fullmatch(value):
        raise FieldError("invalid_name", "must be 1 to 100 of A-Z a-z 0-9 . _ : -")
    return value


def integer(low: int, high: int) -> Reader[int]:
    """A reader of integers from `low` to `high`."""

    def read(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise FieldError("wrong_type", "must be an integer")
        if not low <= value <= high:
            raise FieldError("out_of_range", f"must be from {low} to {high}")
        return value

    return read


def timeout(value: object) -> int:
    """Seconds, more than 0 and at most 30 days, as microseconds."""
    return _duration(value, 1, limits.TIMEOUT_SECONDS, "more than 0 and at most")


def delay(value: object) -> int:
    """Seconds, from 0 to 10 years, as microseconds."""
    return _duration(value, 0, limits.DELAY_SECONDS, "from 0 to")


def _duration(value: object, low_us: int, high_seconds: int, wording: str) -> int:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise FieldError("wrong_type", "must be a number of seconds")
    # Compared before it is multiplied: 1e308 seconds are no microseconds, and NaN is no duration.
    microseconds = round(value * SECOND_US) if 0 <= value <= high_seconds else -1
    if microseconds < low_us:
        raise FieldError("out_of_range", f"must be {wording} {high_seconds} seconds")
    return microseconds


def moment(value: object) -> int:
    """An RFC 3339 time with its zone, as microseconds since the epoch; before it, 0."""
    if not isinstance(value, str):
        raise FieldError("wrong_type", "must be a string such as 2026-01-31T12:00:00Z")
    try:
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            raise FieldError("invalid_time", "needs a time zone, such as Z or +02:00")
        # Also refuses what leaves the years that can be shown again in UTC.
        return max(0, from_datetime(parsed.astimezone(UTC)))
    except (ValueError, OverflowError):
        raise FieldError("invalid_time", "must be a time such as 2026-01-31T12:00:00Z") from None


def tags(value: object) -> tuple[str, ...]:
    """Up to 20 names; repeated ones count once."""
    if not isinstance(value, (list, tuple)):
        raise FieldError("wrong_type", "must be an array of strings")
    if len(value) > limits.TAGS:
        raise FieldError("out_of_range", f"must have at most {limits.TAGS} entries")
    return tuple(dict.fromkeys(map(name, value)))


def meta(value: object) -> str:
    """A JSON object of at most 16 KiB, as text."""
    text = json_object(value)
    if len(text) > limits.META_BYTES:
        raise FieldError("out_of_range", f"must be at most {limits.META_BYTES} bytes of JSON")
    return text


def json_object(value: object) -> str:
    """Any JSON object, as text."""
    if not isinstance(value, dict):
        raise FieldError("wrong_type", "must be an object")
    try:
        return dump_json(value)
    except (TypeError, ValueError, RecursionError):
        # Not from HTTP, where strict_json comes first, but a Python caller can get here.
        raise FieldError("invalid_payload", "must hold JSON values only") from None

"""Query and path parameters, read strictly.

One reader for all routes: a parameter nobody knows, a number in another notation or a forged cursor
is `invalid_parameter`, never silently something else.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from typing import cast

from starlette.datastructures import QueryParams

from orpheus.domain.job import JobState
from orpheus.errors import InvalidRequest
from orpheus.handlers.limits import NAME
from orpheus.store.reads_jobs import JobFilter, Order

MAX_ID = 2**63 - 1
MAX_VALUES = 50
MAX_WAIT_SECONDS = 60.0
_INTEGER = re.compile(r"[0-9]{1,30}")
_SECONDS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,6})?")
_CURSOR = re.compile(r"(asc|desc):([0-9]{1,19})")


class Parameters:
    """The query of one request; `known` are all names it may have."""

    def __init__(self, query: QueryParams, known: Iterable[str] = ()) -> None:
        self._query = query
        allowed = tuple(known)
        for name in query:
            if name not in allowed:
                listed = ", ".join(allowed) or "none"
                raise _invalid(name, f"is not known here; known: {listed}")

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        text = self._one(name)
        if text is None:
            return default
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise _invalid(name, f"must be an integer from {low} to {high}")
        return int(text)

    def seconds(self, name: str) -> float:
        """A wait: 0 where it is absent."""
        text = self._one(name)
        if text is None:
            return 0.0
        if not _SECONDS.fullmatch(text) or float(text) > MAX_WAIT_SECONDS:
            raise _invalid(name, f"must be seconds from 0 to {MAX_WAIT_SECONDS:g}")
        return float(text)

    def flag(self, name: str) -> bool:
        text = self._one(name)
        if text not in (None, "0", "1", "true", "false"):
            raise _invalid(name, "must be 1 or 0")
        return text in ("1", "true")

    def text(self, name: str) -> str | None:
        text = self._one(name)
        if text is not None and len(text) > 100:
            raise _invalid(name, "is too long")
        return text

    def names(self, name: str) -> tuple[str, ...]:
        """All values of a filter."""
        return filter_names(name, self._query.getlist(name))

    def ids(self, name: str) -> tuple[int, ...]:
        values = _some(name, self._query.getlist(name))
        if not all(_INTEGER.fullmatch(value) and int(value) <= MAX_ID for value in values):
            raise _invalid(name, "must be the id of a job")
        return tuple(int(value) for value in values)

    def job_filter(self) -> JobFilter:
        return JobFilter(
            states=filter_states(self._query.getlist("state")),
            types=self.names("type"),
            queues=self.names("queue"),
            tags=self.names("tag"),
        )

    def order(self) -> Order:
        text = self._one("order")
        if text is None:
            return "desc"
        if text not in ("asc", "desc"):
            raise _invalid("order", "must be asc or desc")
        return cast(Order, text)

    def _one(self, name: str) -> str | None:
        values = self._query.getlist(name)
        if len(values) > 1:
            raise _invalid(name, "is given twice")
        return values[0] if values else None


def filter_states(values: Iterable[str]) -> tuple[JobState, ...]:
    """The `state` values of a job filter."""
    known = {state.value: state for state in JobState}
    found = _some("state", list(values))
    if not all(value in known for value in found):
        raise _invalid("state", f"must be one of: {', '.join(known)}")
    return tuple(dict.fromkeys(known[value] for value in found))


def filter_names(name: str, values: Iterable[str]) -> tuple[str, ...]:
    """The values of a filter on names."""
    found = _some(name, list(values))
    if not all(NAME.fullmatch(value) for value in found):
        raise _invalid(name, "must be 1 to 100 of A-Z a-z 0-9 . _ : -")
    return tuple(dict.fromkeys(found))


def job_id(text: str) -> int:
    """The id in a path."""
    if not _INTEGER.fullmatch(text):
        if text.isascii() and text.isdigit():
            raise _id_out_of_range()
        raise InvalidRequest(
            "invalid_parameter", "the id of a job is an integer", ((("path", "id"), "not an id"),)
        )
    value = int(text)
    if value > MAX_ID:
        raise _id_out_of_range()
    return value


def queue_name(text: str) -> str:
    """The queue in a path."""
    if not NAME.fullmatch(text):
        message = "a queue's name has 1 to 100 of A-Z a-z 0-9 . _ : -"
        raise InvalidRequest("invalid_name", message, ((("path", "name"), message),))
    return text


def encode_cursor(order: Order, last: int) -> str:
    """The opaque position after the job `last`."""
    return base64.urlsafe_b64encode(f"{order}:{last}".encode()).decode().rstrip("=")


def decode_cursor(text: str | None, order: Order) -> int | None:
    """The id in a cursor that `encode_cursor` made for the same order."""
    if text is None:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        match = _CURSOR.fullmatch(base64.b64decode(padded, b"-_", validate=True).decode("ascii"))
    except (binascii.Error, UnicodeError):
        match = None
    if match is None or match[1] != order or int(match[2]) > MAX_ID:
        raise _invalid("cursor", "must be the next_cursor of an earlier page in the same order")
    return int(match[2])


def _some(name: str, values: list[str]) -> list[str]:
    if len(values) > MAX_VALUES:
        raise _invalid(name, f"may be given {MAX_VALUES} times at most")
    return values


def _id_out_of_range() -> InvalidRequest:
    return InvalidRequest(
        "out_of_range", f"ids go up to {MAX_ID}", ((("path", "id"), "out of range"),)
    )


def _invalid(name: str, message: str) -> InvalidRequest:
    shown = ascii(name[:100])[1:-1]
    return InvalidRequest("invalid_parameter", f"{shown} {message}", ((("query", shown), message),))

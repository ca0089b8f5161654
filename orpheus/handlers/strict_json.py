"""JSON as Orpheus takes it from outside: RFC 8259 and nothing more.

Called by the API for every body and by `prepare` for what it stores. Refuses what a database, a
browser or another parser would read differently: NaN, infinities (also `1e999`), lone
surrogates, a byte order mark, endless nesting. Integers survive digit for digit up to the 4300
digits Python converts. Never interprets a value and never echoes one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from pydantic_core import from_json

from orpheus.errors import InvalidRequest

MAX_DEPTH = 64
# Kept: json.dumps would make an encoder for each call.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode

Location = tuple[str | int, ...]


def parse_json(data: bytes, *, checked: bool = True) -> object:
    """The value of one JSON document; who does not want it `checked` calls `check`.

    Raises InvalidRequest: body_required (nothing there), invalid_json, too_deep (more than
    `MAX_DEPTH` arrays and objects in each other) or non_finite_number.
    """
    if not data.strip():
        raise _body_required()
    try:
        value: object = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        # pydantic_core has one exception for everything; its own depth limit is 200.
        if "recursion limit" in str(error):
            raise _too_deep() from None
        raise InvalidRequest(
            "invalid_json", f"send one valid JSON document in UTF-8: {error}", (((), str(error)),)
        ) from None
    if checked:
        check(value)
    return value


def parse_object(data: bytes, *, checked: bool = True) -> dict[str, object]:
    """The JSON object of a request body; also refuses null (body_required) and other values."""
    value = parse_json(data, checked=checked)
    if value is None:
        raise _body_required()
    if not isinstance(value, dict):
        message = "the body must be a JSON object"
        raise InvalidRequest("invalid_json", message, (((), message),))
    return value


def dump_json(value: object) -> str:
    """Compact ASCII text of a JSON value.

    Raises ValueError, TypeError or RecursionError for what JSON cannot say, among it NaN and
    infinities. Lone surrogates and endless nesting pass; `parse_json` is what refuses them.
    """
    return _encode(value)


def check(value: object) -> None:
    """Raise InvalidRequest where a parsed value is nested too deeply or holds an infinity."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        if any(type(item) is float and not math.isfinite(item) for item in level):
            raise _non_finite(value)
        containers = [item for item in level if isinstance(item, (dict, list))]
        if not containers:
            return
        level = [
            item
            for container in containers
            for item in (container.values() if isinstance(container, dict) else container)
        ]
    raise _too_deep()


def _locate(value: object, loc: Location = ()) -> Iterator[Location]:
    """Where the infinities are."""
    if isinstance(value, float) and not math.isfinite(value):
        yield loc
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _locate(item, (*loc, key[:100]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _locate(item, (*loc, index))


def _body_required() -> InvalidRequest:
    message = "a JSON object is required"
    return InvalidRequest("body_required", f"{message} as the request's body", (((), message),))


def _too_deep() -> InvalidRequest:
    message = f"arrays and objects may be nested {MAX_DEPTH} deep"
    return InvalidRequest("too_deep", f"{message}; send a flatter document", (((), message),))


def _non_finite(value: object) -> InvalidRequest:
    message = "this number is too large for a double"
    where = next(_locate(value), ())
    return InvalidRequest(
        "non_finite_number", f"{message}; send it as a string", ((where, message),)
    )

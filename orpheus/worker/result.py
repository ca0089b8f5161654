"""The text of a handler's result: JSON that we could read again, of bounded size.

Called by `execute`. Turning a value into text may run the user's code, which may raise anything;
whatever it is, it becomes a `Refused`.
"""

from __future__ import annotations

import json
import math

from orpheus.errors import InvalidRequest
from orpheus.handlers.strict_json import parse_json
from orpheus.worker.failure import Refused
from orpheus.worker.text import clean

MAX_RESULT_BYTES = 1024 * 1024

_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
_SMALL = 2**63


def to_json(value: object) -> str:
    """Compact ASCII text. Raises Refused (result_not_json, result_too_large)."""
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused("result_not_json", f"the result is not JSON: {clean(error, 500)}") from None
    except BaseException as error:  # a dict of the user's own class can raise anything
        message = f"the result is not JSON: reading it raised {type(error).__name__}"
        raise Refused("result_not_json", message) from None
    if len(text) > MAX_RESULT_BYTES:
        raise Refused(
            "result_too_large",
            f"the result is {len(text)} bytes of JSON, at most {MAX_RESULT_BYTES} are kept; "
            "store it elsewhere and return where",
        )
    if not _is_plain(value):
        _check(text)
    return text


def _is_plain(value: object) -> bool:
    """Whether the text of this value is certain to be read back: most results are a few fields."""
    if type(value) is dict:
        return all(
            type(name) is str and name.isascii() and _is_plain_scalar(item)
            for name, item in value.items()
        )
    return _is_plain_scalar(value)


def _is_plain_scalar(value: object) -> bool:
    if value is None or value is True or value is False:
        return True
    kind = type(value)
    if kind is int:
        return -_SMALL < value < _SMALL  # type: ignore[operator]
    if kind is str:
        return value.isascii()  # type: ignore[attr-defined, no-any-return]
    return kind is float and math.isfinite(value)  # type: ignore[arg-type]


def _check(text: str) -> None:
    """What we could not read again strictly is no result: surrogates, depth, endless integers."""
    try:
        parse_json(text.encode("ascii"))
    except InvalidRequest as error:
        raise Refused("result_not_json", f"the result is not JSON: {error.detail}") from None

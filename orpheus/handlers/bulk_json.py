"""The JSON texts of many objects at once, byte for byte what `dump_json` makes of each.

Used where a batch is judged as a whole. Whatever is not simple is left to the ways for one value.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, repeat
from typing import Any

from pydantic_core import to_json

from orpheus.handlers.strict_json import dump_json

Object = dict[str, Any]
Kinds = frozenset[type] | None
"""The types of all values; None where nothing is known of them."""

# Well below strict_json's limit on a whole document, which is thus asked elsewhere.
_DEPTH = 32
# A Python object may hold itself, twice.
_MOST_VALUES = 2_000_000
_SCALARS = frozenset({str, int, float, bool, type(None)})
_JSON = _SCALARS | {dict, list}
# Of CPython; `dump_json` has it made for each call.
_make_encoder: Any = getattr(json.encoder, "c_make_encoder", None)


def kinds_in(objects: Sequence[Object]) -> Kinds:
    """The types of all values in them; None where a key or a value is nothing a parser returns.

    Also None for what is nested deeply: only a yes means anything.
    """
    found: set[type] = set()
    dicts = list(objects)
    lists: list[list[Any]] = []
    for _ in range(_DEPTH):
        if not set(map(type, chain.from_iterable(dicts))) <= {str}:
            return None
        values = [*chain.from_iterable(map(dict.values, dicts)), *chain.from_iterable(lists)]
        kinds = set(map(type, values))
        found |= kinds
        if kinds <= _SCALARS:
            return frozenset(found)
        if not kinds <= _JSON or len(values) > _MOST_VALUES:
            return None
        dicts = [value for value in values if type(value) is dict]
        lists = [value for value in values if type(value) is list]
    return None


def dump_objects(objects: Sequence[Object], kinds: Kinds) -> list[str]:
    """`dump_json` of each; `kinds` are those of `kinds_in`. Raises what `dump_json` raises."""
    texts = None
    if kinds is not None and float not in kinds:
        texts = _dump_quickly(objects)
    return _dump_each(objects) if texts is None else texts


def _dump_quickly(objects: Sequence[Object]) -> list[str] | None:
    """By pydantic's encoder. It writes floats and what is not printable ASCII in another way."""
    try:
        array = to_json(objects).decode()
    except ValueError:
        return None
    if not array.isascii() or "\x7f" in array:
        return None
    # No line feed is in compact JSON. Where objects meet inside of one, there are too many pieces.
    texts = array[1:-1].replace("},{", "}\n{").split("\n")
    return texts if len(texts) == len(objects) else None


def _dump_each(objects: Sequence[Object]) -> list[str]:
    if _make_encoder is None:
        return [dump_json(value) for value in objects]
    escape = json.encoder.encode_basestring_ascii
    encode = _make_encoder(None, _refuse, escape, None, ":", ",", False, False, False)
    return list(map("".join, map(encode, objects, repeat(0))))


def _refuse(value: object) -> object:
    raise TypeError(f"{type(value).__name__} is no JSON type")

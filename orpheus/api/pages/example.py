"""A payload to start typing from, made of a job type's JSON Schema.

The submit box puts it into its empty field. It is a hint, never validated and never sent by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_BY_TYPE: dict[str, Any] = {
    "integer": 1,
    "number": 1.0,
    "string": "",
    "boolean": False,
    "array": [],
    "object": {},
    "null": None,
}


def example_payload(schema: Mapping[str, Any]) -> str:
    """JSON text naming every property: its default, or a value of the right kind."""
    properties: Mapping[str, Mapping[str, Any]] = schema.get("properties", {})
    return json.dumps({name: _value(property_) for name, property_ in properties.items()})


def _value(schema: Mapping[str, Any]) -> Any:
    for known in ("default", "const"):
        if known in schema:
            return schema[known]
    for choices in ("examples", "enum"):
        if schema.get(choices):
            return schema[choices][0]
    if schema.get("anyOf"):
        return _value(schema["anyOf"][0])
    if "minimum" in schema:
        return max(schema["minimum"], 1)
    return _BY_TYPE.get(schema.get("type", ""))

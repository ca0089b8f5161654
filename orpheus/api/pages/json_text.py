"""Stored JSON text made readable without being read.

The job page shows payloads and results. Parsing and writing them again would change what was stored
(`1e2`, `1.10`, integers beyond 2**53 in a browser), so this only adds white space between tokens.
The text must be valid JSON, which everything in the store is.
"""

from __future__ import annotations

import re

_ONE_LINE = 72
# Longer text is shown as it is: making it pretty would hold up the API's loop.
_LONGEST = 65_536
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')
_EMPTY = {"{": "}", "[": "]"}


def indent(text: str) -> str:
    """Two spaces a level; short text stays on one line, very long text as it is."""
    if len(text) > _LONGEST:
        return text
    parts: list[str] = _TOKEN.findall(text)
    short = _on_one_line(parts)
    return short if len(short) <= _ONE_LINE else _indented(parts)


def _on_one_line(parts: list[str]) -> str:
    return "".join(f"{part} " if part in ",:" else part for part in parts)


def _indented(parts: list[str]) -> str:
    written: list[str] = []
    depth = 0
    previous = ""
    for part in parts:
        if part in ("}", "]"):
            depth -= 1
            if _EMPTY.get(previous) != part:
                written.append(_line(depth))
        elif previous in ("{", "[", ","):
            written.append(_line(depth))
        written.append(": " if part == ":" else part)
        if part in ("{", "["):
            depth += 1
        previous = part
    return "".join(written)


def _line(depth: int) -> str:
    return "\n" + "  " * depth

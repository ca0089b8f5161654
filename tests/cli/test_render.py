"""Plain text for a terminal."""

from __future__ import annotations

from orpheus.cli.render import columns, printable


def test_columns_are_aligned_without_trailing_space() -> None:
    assert list(columns([("A", "LONG"), ("wide", "b")])) == ["A     LONG", "wide  b"]


def test_control_characters_are_escaped() -> None:
    assert printable("a\x1b[31m\nü\u202e") == "a\\x1b[31m\\nü\\u202e"

"""Many texts at once are those that one after the other would be."""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus.handlers import bulk_json
from orpheus.handlers.bulk_json import Kinds, dump_objects, kinds_in
from orpheus.handlers.strict_json import dump_json


class Number(enum.IntEnum):
    ONE = 1


TEXT = st.text() | st.sampled_from(["},{", "}", "\n", "\x7f", '\x00\b\f\\"/', "\u2028ä", "\ud800"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(st.lists(st.dictionaries(TEXT, JSON, max_size=3), min_size=1, max_size=5))
def test_as_one_by_one(objects: list[dict[str, Any]]) -> None:
    try:
        expected = [dump_json(value) for value in objects]
    except ValueError:
        with pytest.raises(ValueError, match="not JSON compliant"):
            dump_objects(objects, kinds_in(objects))
    else:
        assert kinds_in(objects) is not None
        assert dump_objects(objects, kinds_in(objects)) == expected
        assert dump_objects(objects, None) == expected


def test_without_the_encoder_of_cpython(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_json, "_make_encoder", None)
    assert dump_objects([{"a": 1.5}, {}], None) == ['{"a":1.5}', "{}"]


@pytest.mark.parametrize("value", [{}, {"n": 1}, {"a": {"b": 1}}, {"a": [{}, {}]}, {"a": "},{"}])
def test_the_quick_way_is_taken_where_it_can_be(value: dict[str, Any]) -> None:
    quick = bulk_json._dump_quickly([value] * 3)
    expected = [dump_json(value)] * 3
    # Objects that meet inside of one, or a text that looks like it.
    assert quick == (None if "},{" in expected[0] else expected)


@pytest.mark.parametrize(
    "value",
    [
        (1,),
        Number.ONE,
        OrderedDict(a=1),
        {1: 2},
        [{None: 1}],
        b"",
        object(),
    ],
    ids=ascii,
)
def test_what_no_parser_returns_is_found(value: object) -> None:
    assert kinds_in([{"a": 1}, {"a": [{"b": value}]}]) is None


def test_looks_no_further_than_a_body_goes() -> None:
    circular: dict[str, Any] = {}
    circular["a"] = circular["b"] = circular
    assert kinds_in([circular] * 10) is None
    deep: dict[str, Any] = {}
    for _ in range(10):
        deep = {"a": [deep]}
    kinds: Kinds = frozenset({dict, list})
    assert kinds_in([deep]) == kinds
    for _ in range(10):
        deep = {"a": [deep]}
    assert kinds_in([deep]) is None

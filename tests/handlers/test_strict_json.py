"""JSON as the contract takes it: what is refused, with which code, and what survives."""

from __future__ import annotations

import json
import time

import pytest

from orpheus.errors import InvalidRequest
from orpheus.handlers.strict_json import MAX_DEPTH, dump_json, parse_json, parse_object


def refusal(data: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        parse_object(data)
    assert caught.value.detail
    assert caught.value.errors
    return caught.value


def nested(depth: int) -> bytes:
    return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b'{"payload":{"x":NaN}}', "invalid_json"),
        (b'{"payload":{"x":Infinity}}', "invalid_json"),
        (b'{"payload":{"x":-Infinity}}', "invalid_json"),
        (b'{"x":1e999}', "non_finite_number"),
        (b'{"x":-1e999}', "non_finite_number"),
        (b'{"x":1' + b"0" * 400 + b".0}", "non_finite_number"),
        (rb'{"x":"\ud800"}', "invalid_json"),
        (rb'{"\udfff":1}', "invalid_json"),
        (rb'{"x":"\ud800\ud800"}', "invalid_json"),
        (b'{"x":' + b"9" * 5000 + b"}", "invalid_json"),
        (nested(MAX_DEPTH + 1), "too_deep"),
        (nested(100), "too_deep"),
        (nested(100_000), "too_deep"),
        (b"[" * 100_000, "too_deep"),
        ('{"type":"a"}'.encode("utf-16"), "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b'{"x":"\xff"}', "invalid_json"),
        (b'{"x":"\x00"}', "invalid_json"),
        (b"{} x", "invalid_json"),
        (b"{}{}", "invalid_json"),
        (b"{'a':1}", "invalid_json"),
        (b'{"a":1,}', "invalid_json"),
        (b'{"a":01}', "invalid_json"),
        (b"[]", "invalid_json"),
        (b"5", "invalid_json"),
        (b"", "body_required"),
        (b" \n", "body_required"),
        (b"null", "body_required"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_is_refused(data: bytes, code: str) -> None:
    started = time.monotonic()
    assert refusal(data).code == code
    assert time.monotonic() - started < 1


def test_a_refusal_names_the_place_and_echoes_nothing() -> None:
    error = refusal(b'{"secret":[1,{"key":1e999}]}')
    assert error.errors[0][0] == ("secret", 1, "key")
    assert "secret" not in refusal(b'{"secret":}').detail


@pytest.mark.parametrize(
    "data",
    [
        nested(MAX_DEPTH),
        b'{"n":' + b"9" * 4300 + b"}",
        str.encode(f'{{"n":{2**70}}}'),
        rb'{"x":"a\u0000b"}',
        rb'{"x":"\ud83d\ude00"}',
        b'{"x":[1,-0,2.5,1e300,true,null,""]}',
    ],
    ids=lambda value: repr(value)[:30],
)
def test_what_survives_digit_for_digit(data: bytes) -> None:
    value = parse_json(data)
    assert value == json.loads(data)
    assert dump_json(json.loads(dump_json(value))) == dump_json(value)


def test_of_equal_keys_the_last_wins() -> None:
    assert parse_json(b'{"a":1,"a":2}') == {"a": 2}


def test_an_empty_value_in_the_deepest_container_is_no_level_more() -> None:
    parse_json(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_dump_says_only_what_json_can(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        dump_json(value)

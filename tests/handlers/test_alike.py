"""Which batches are judged at once, and that they are judged like all others."""

from __future__ import annotations

import math

import pytest

from orpheus.errors import InvalidRequest
from orpheus.handlers.alike import alike_payloads, all_fit, check_payloads
from orpheus.handlers.loader import load_registry
from orpheus.handlers.prepare import prepare
from orpheus.handlers.registry import Registry
from orpheus.handlers.strict_json import dump_json
from orpheus.settings import Settings, load_settings

ONE = {"type": "sum_range", "payload": {"n": 1}}


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings({}, environ={})


@pytest.fixture(scope="module")
def registry(settings: Settings) -> Registry:
    return load_registry(settings)


@pytest.mark.parametrize(
    "other",
    [
        None,
        [],
        {},
        {"type": "sum_range"},
        {"payload": {"n": 1}},
        {"type": "wordcount", "payload": {"text": ""}},
        {"type": ["sum_range"], "payload": {"n": 1}},
        {"type": "sum_range", "payload": None},
        {"type": "sum_range", "payload": {"n": 1}, "priority": 0},
        {"type": "sum_range", "payload": {"n": 1}, "prio": 0},
        {"type": "sum_range", "payload": {"n": 1}, "priority": True},
        {"type": "sum_range", "priority": 0},
    ],
)
def test_what_is_not_alike(other: object) -> None:
    assert alike_payloads([ONE, other]) is None
    assert alike_payloads([other, ONE]) is None
    assert alike_payloads([ONE, ONE]) == [{"n": 1}, {"n": 1}]
    assert alike_payloads([ONE]) is None
    assert alike_payloads([]) is None


@pytest.mark.parametrize("payload", [{}, {"n": "5"}, {"n": True}, {"n": -1}, {"n": 1, "m": 2}])
def test_refusals_are_those_of_prepare(
    registry: Registry, settings: Settings, payload: dict[str, object]
) -> None:
    wrong = {"type": "sum_range", "payload": payload}
    job_type = registry.get("sum_range")
    assert job_type is not None
    with pytest.raises(InvalidRequest) as expected:
        prepare(wrong, registry, settings, ("jobs", 201))
    texts = ['{"n":1}', dump_json(payload)]
    assert not all_fit(job_type, texts)
    with pytest.raises(InvalidRequest) as found:
        check_payloads(job_type, texts, 200)
    assert found.value.args == expected.value.args
    assert (found.value.code, found.value.errors) == (expected.value.code, expected.value.errors)


@pytest.mark.parametrize(
    "options",
    [
        {"priority": 1},
        {"queue": "q", "delay": 0.5, "max_retries": 1, "timeout": 3},
        {"run_at": "2030-01-01T00:00:00Z"},
        {"priority": 1000},
    ],
    ids=str,
)
def test_same_options_are_alike(options: dict[str, object]) -> None:
    """Also wrong ones: `prepare` says of the first job what is wrong with all."""
    assert alike_payloads([{**ONE, **options}] * 2) == [{"n": 1}] * 2
    assert alike_payloads([ONE, {**ONE, **options}]) is None


@pytest.mark.parametrize(
    ("option", "one", "other"),
    [
        ("priority", 1, 2),
        ("priority", 1, 1.0),
        ("priority", 1, True),
        ("priority", True, True),
        ("priority", None, None),
        ("delay", math.inf, math.inf),
        ("delay", math.nan, math.nan),
        ("queue", "a", "b"),
        ("queue", ["a"], ["a"]),
        ("tags", ["a"], ["a"]),
        ("meta", {}, {}),
        ("unique_key", "a", "a"),
        ("ref", "a", "a"),
        ("colour", "red", "red"),
    ],
)
def test_options_that_are_not_alike(option: str, one: object, other: object) -> None:
    assert alike_payloads([{**ONE, option: one}, {**ONE, option: other}]) is None


@pytest.mark.parametrize("place", [0, 1, 199, 200, 201, 599])
def test_finds_the_wrong_one(registry: Registry, place: int) -> None:
    job_type = registry.get("sum_range")
    assert job_type is not None
    texts = ['{"n":1}'] * 600
    assert all_fit(job_type, texts)
    check_payloads(job_type, texts, 0)
    texts[place] = '{"n":"1"}'
    assert not all_fit(job_type, texts)
    with pytest.raises(InvalidRequest) as found:
        check_payloads(job_type, texts, 1000)
    assert found.value.errors[0][0] == ("jobs", 1000 + place, "payload", "n")

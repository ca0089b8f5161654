"""Which batches are judged at once, and that they are judged like all others."""

from __future__ import annotations

import pytest

from orpheus.errors import InvalidRequest
from orpheus.handlers.alike import are_alike, payloads_of
from orpheus.handlers.loader import load_registry
from orpheus.handlers.prepare import prepare
from orpheus.handlers.registry import Registry
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
    ],
)
def test_what_is_not_alike(other: object) -> None:
    assert not are_alike([ONE, other])
    assert not are_alike([other, ONE])
    assert are_alike([ONE, ONE])
    assert not are_alike([ONE])


def test_payloads_are_those_of_prepare(registry: Registry, settings: Settings) -> None:
    requests = [{"type": "wordcount", "payload": {"text": text}} for text in ("", "ä", '"\\\0')]
    job_type = registry.get("wordcount")
    assert job_type is not None
    prepared = [prepare(request, registry, settings) for request in requests]
    assert payloads_of(requests, job_type, 0) == [job.payload for job in prepared]


@pytest.mark.parametrize("payload", [{}, {"n": "5"}, {"n": True}, {"n": -1}, {"n": 1, "m": 2}])
def test_refusals_are_those_of_prepare(
    registry: Registry, settings: Settings, payload: dict[str, object]
) -> None:
    wrong = {"type": "sum_range", "payload": payload}
    job_type = registry.get("sum_range")
    assert job_type is not None
    with pytest.raises(InvalidRequest) as expected:
        prepare(wrong, registry, settings, ("jobs", 201))
    with pytest.raises(InvalidRequest) as found:
        payloads_of([ONE, wrong], job_type, 200)
    assert found.value.args == expected.value.args
    assert (found.value.code, found.value.errors) == (expected.value.code, expected.value.errors)

"""A request becomes a NewJob, or an error that says what to send instead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from orpheus import Backoff, job
from orpheus.clock import from_datetime
from orpheus.domain.job import NewJob
from orpheus.errors import InvalidRequest
from orpheus.handlers.loader import job_type_of
from orpheus.handlers.prepare import prepare
from orpheus.handlers.registry import Registry


@dataclass(frozen=True)
class Defaults:
    timeout_seconds: float = 3600
    max_retries: int = 3
    max_crashes: int = 4


@job
def plain(n: Any = 0) -> None: ...


@job("img", queue="images", timeout=1.5, max_retries=9, max_crashes=2, backoff=Backoff(2, 60))
async def opinionated() -> None: ...


@job
def strict(n: int) -> None: ...


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for handler in (plain, opinionated, strict):
        registry.register(job_type_of(handler))
    return registry


def refusal(request: object, registry: Registry, loc: tuple[str | int, ...] = ()) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        prepare(request, registry, Defaults(), loc)
    assert caught.value.detail
    assert caught.value.errors
    return caught.value


def test_what_is_not_given_comes_from_the_settings(registry: Registry) -> None:
    assert prepare({"type": "plain"}, registry, Defaults()) == NewJob(
        type="plain",
        queue="default",
        lane="sync",
        payload="{}",
        max_retries=3,
        max_crashes=4,
        timeout=3_600_000_000,
    )


def test_the_type_goes_before_the_settings(registry: Registry) -> None:
    assert prepare({"type": "img"}, registry, Defaults()) == NewJob(
        type="img",
        queue="images",
        lane="async",
        payload="{}",
        max_retries=9,
        max_crashes=2,
        backoff_base=2_000_000,
        backoff_cap=60_000_000,
        timeout=1_500_000,
    )


def test_the_job_goes_before_the_type(registry: Registry) -> None:
    request = {
        "type": "img",
        "payload": {},
        "queue": "q",
        "priority": -100,
        "delay": 0.25,
        "max_retries": 0,
        "timeout": 0.5,
        "unique_key": "a:b",
        "tags": ["x", "y", "x"],
        "meta": {"a": [1]},
    }
    new = prepare(request, registry, Defaults())
    assert (new.queue, new.priority, new.delay, new.run_at) == ("q", -100, 250_000, None)
    assert (new.max_retries, new.timeout, new.unique_key) == (0, 500_000, "a:b")
    assert (new.tags, new.meta) == (("x", "y"), '{"a":[1]}')


def test_null_is_absent_where_there_is_no_default(registry: Registry) -> None:
    options = ("queue", "delay", "run_at", "max_retries", "timeout", "unique_key")
    request = {"type": "img", **dict.fromkeys(options)}
    assert prepare(request, registry, Defaults()) == prepare({"type": "img"}, registry, Defaults())


def test_the_payload_is_stored_as_it_was_sent(registry: Registry) -> None:
    payload = {"n": {"big": 10**4299, "float": 0.1, "text": "ä\x00😀"}}
    new = prepare({"type": "plain", "payload": payload}, registry, Defaults())
    assert new.payload.isascii()
    assert str(10**4299) in new.payload
    assert r'"\u00e4\u0000\ud83d\ude00"' in new.payload


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=timezone.utc)),  # noqa: UP017
        (
            "2026-01-31T12:00:00.123456+02:00",
            datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_run_at_is_a_moment(registry: Registry, text: str, moment: datetime) -> None:
    new = prepare({"type": "plain", "run_at": text}, registry, Defaults())
    assert new.run_at == from_datetime(moment)


def test_a_moment_before_the_epoch_is_past_like_any_other(registry: Registry) -> None:
    new = prepare({"type": "plain", "run_at": "1900-01-01T00:00:00Z"}, registry, Defaults())
    assert new.run_at == 0


WRONG: list[tuple[str, object, str]] = [
    ("type", 5, "wrong_type"),
    ("type", None, "wrong_type"),
    ("type", "no such", "invalid_name"),
    ("type", "a\x00", "invalid_name"),
    ("type", "a\n", "invalid_name"),
    ("type", "", "invalid_name"),
    ("type", "nothing", "unknown_type"),
    ("payload", None, "wrong_type"),
    ("payload", [], "wrong_type"),
    ("payload", "{}", "wrong_type"),
    ("queue", 5, "wrong_type"),
    ("queue", "\x00", "invalid_name"),
    ("queue", "x" * 101, "invalid_name"),
    ("priority", "5", "wrong_type"),
    ("priority", 5.0, "wrong_type"),
    ("priority", True, "wrong_type"),
    ("priority", None, "wrong_type"),
    ("priority", 101, "out_of_range"),
    ("priority", -101, "out_of_range"),
    ("priority", 2**70, "out_of_range"),
    ("max_retries", -1, "out_of_range"),
    ("max_retries", 101, "out_of_range"),
    ("max_retries", 10**6, "out_of_range"),
    ("max_retries", "3", "wrong_type"),
    ("timeout", 0, "out_of_range"),
    ("timeout", -1, "out_of_range"),
    ("timeout", 1e-9, "out_of_range"),
    ("timeout", 2**70, "out_of_range"),
    ("timeout", 10**4299, "out_of_range"),
    ("timeout", 1e308, "out_of_range"),
    ("timeout", float("nan"), "out_of_range"),
    ("timeout", float("inf"), "out_of_range"),
    ("timeout", 2_592_001, "out_of_range"),
    ("timeout", False, "wrong_type"),
    ("delay", -1, "out_of_range"),
    ("delay", 10**12, "out_of_range"),
    ("delay", "NaN", "wrong_type"),
    ("run_at", 5, "wrong_type"),
    ("run_at", "tomorrow", "invalid_time"),
    ("run_at", "2026-01-31T12:00:00", "invalid_time"),
    ("run_at", "2026-01-31", "invalid_time"),
    ("run_at", "2026-02-30T12:00:00Z", "invalid_time"),
    ("run_at", "10000-01-01T00:00:00Z", "invalid_time"),
    ("run_at", "0001-01-01T00:00:00+23:59", "invalid_time"),
    ("run_at", "9999-12-31T23:59:59-01:00", "invalid_time"),
    ("unique_key", "a b", "invalid_name"),
    ("unique_key", {}, "wrong_type"),
    ("tags", "a", "wrong_type"),
    ("tags", None, "wrong_type"),
    ("tags", [1], "wrong_type"),
    ("tags", ["a b"], "invalid_name"),
    ("tags", [f"t{n}" for n in range(21)], "out_of_range"),
    ("meta", [], "wrong_type"),
    ("meta", None, "wrong_type"),
    ("meta", {"a": "x" * 20_000}, "out_of_range"),
    ("depends_on", [], "not_supported"),
    ("on_parent_failure", "cancel", "not_supported"),
    ("ref", "a", "not_supported"),
    ("max_crashes", 3, "unknown_field"),
    ("colour", 3, "unknown_field"),
]


@pytest.mark.parametrize(("field", "value", "code"), WRONG, ids=lambda value: repr(value)[:20])
def test_a_wrong_field_is_named_with_its_code(
    registry: Registry, field: str, value: object, code: str
) -> None:
    error = refusal({"type": "plain", field: value}, registry, ("jobs", 3))
    assert error.code == code
    assert error.errors[0][0] == ("jobs", 3, field)
    assert field in error.detail
    assert len(error.detail) < 500


def test_delay_and_run_at_exclude_each_other(registry: Registry) -> None:
    request = {"type": "plain", "delay": 1, "run_at": "2026-01-31T12:00:00Z"}
    assert refusal(request, registry).code == "invalid_time"


def test_everything_wrong_is_named_at_once(registry: Registry) -> None:
    error = refusal({"type": "plain", "priority": "high", "tags": 5, "timeout": 0}, registry)
    assert [loc for loc, _ in error.errors] == [("priority",), ("timeout",), ("tags",)]


def test_a_flood_of_unknown_fields_is_cut(registry: Registry) -> None:
    error = refusal({"type": "plain", **{f"f{n}": n for n in range(50_000)}}, registry)
    assert error.code == "unknown_field"
    assert len(error.errors) <= 20


@pytest.mark.parametrize("request_", [[], 5, "x", None, True])
def test_a_job_is_an_object(registry: Registry, request_: object) -> None:
    assert refusal(request_, registry, ("jobs", 0)).errors[0][0] == ("jobs", 0)
    assert refusal(request_, registry).code == "wrong_type"


def test_the_type_is_required(registry: Registry) -> None:
    error = refusal({}, registry)
    assert (error.code, error.errors[0][0]) == ("wrong_type", ("type",))
    assert "type is required" in error.detail


def test_an_unknown_type_is_told_which_are_known(registry: Registry) -> None:
    assert "did you mean plain?" in refusal({"type": "plian"}, registry).detail
    assert "known: img, plain, strict" in refusal({"type": "zzzzz"}, registry).detail


def test_a_misspelt_field_is_told_the_right_one(registry: Registry) -> None:
    assert "did you mean priority?" in refusal({"type": "plain", "prioriti": 1}, registry).detail


def test_a_strange_field_name_is_shown_harmless_and_short(registry: Registry) -> None:
    detail = refusal({"type": "plain", "\x1b[31m\r\n" + "x" * 500: 1}, registry).detail
    assert detail.isascii()
    assert detail.isprintable()
    assert len(detail) < 300


def test_a_payload_that_does_not_fit_is_told_where(registry: Registry) -> None:
    error = refusal({"type": "strict", "payload": {"n": "5", "m": 1}}, registry, ("jobs", 3))
    assert error.code == "invalid_payload"
    assert {loc for loc, _ in error.errors} == {
        ("jobs", 3, "payload", "n"),
        ("jobs", 3, "payload", "m"),
    }
    assert "GET /types shows the schema of strict" in error.detail

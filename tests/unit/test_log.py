"""Logging: one line a fact, and never an exception or a wait for who logs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import structlog

from orpheus import log


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@contextmanager
def errors_to(descriptor: int) -> Iterator[None]:
    """Standard error is another file for a while."""
    kept = os.dup(2)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    try:
        yield reader, writer
    finally:
        for descriptor in (reader, writer):
            try:
                os.close(descriptor)
            except OSError:
                pass


def lines_of(*events: tuple[str, dict[str, object]]) -> list[dict[str, object]]:
    with pipe() as (reader, writer), errors_to(writer):
        log.configure("test", "json")
        for event, values in events:
            log.get_logger("here").info(event, **values)
        data = os.read(reader, 1 << 16)
    return [json.loads(line) for line in data.splitlines()]


def test_a_line_is_json_with_its_place() -> None:
    (line,) = lines_of(("hello", {"job": 7}))
    assert (line["event"], line["job"], line["level"]) == ("hello", 7, "info")
    assert (line["program"], line["module"], line["pid"]) == ("test", "here", os.getpid())
    assert str(line["timestamp"]).endswith("Z")


def test_secrets_are_not_written() -> None:
    (line,) = lines_of(("hello", {"token": "hunter2", "Authorization": "Bearer x", "path": "/"}))
    assert (line["token"], line["Authorization"]) == ("[redacted]", "[redacted]")
    assert line["path"] == "/"


def test_what_is_bound_is_on_every_line() -> None:
    with pipe() as (reader, writer), errors_to(writer):
        log.configure("test", "json")
        log.bind(attempt=3)
        log.get_logger("here").info("one")
        log.unbind("attempt")
        log.get_logger("here").info("two")
        one, two = (json.loads(line) for line in os.read(reader, 1 << 16).splitlines())
    assert one["attempt"] == 3
    assert "attempt" not in two


def test_levels_below_are_not_written() -> None:
    with pipe() as (reader, writer), errors_to(writer):
        log.configure("test", "json", "warning")
        log.get_logger("here").info("no")
        log.get_logger("here").warning("yes")
        (line,) = os.read(reader, 1 << 16).splitlines()
    assert json.loads(line)["event"] == "yes"


def test_what_json_cannot_say_is_said_somehow() -> None:
    (line,) = lines_of(("hello", {"thing": object(), "half": "\ud800"}))
    assert "object" in str(line["thing"])


def test_a_long_line_is_cut() -> None:
    with pipe() as (reader, writer), errors_to(writer):
        log.configure("test", "json")
        log.get_logger("here").info("x" * 10_000, job=7)
        data = os.read(reader, 1 << 16)
    assert len(data) <= 4096
    line = json.loads(data)
    assert line["job"] == 7
    assert str(line["event"]).endswith("xxx ...")
    assert len(str(line["event"])) > 2000


def test_a_long_traceback_still_names_its_error() -> None:
    def fail() -> None:
        try:
            raise KeyError("k" * 8000)
        except KeyError as error:
            raise ValueError("ä" * 300) from error

    with pipe() as (reader, writer), errors_to(writer):
        log.configure("test", "json")
        try:
            fail()
        except ValueError:
            log.get_logger("here").exception("it failed", url="u" * 500)
        data = os.read(reader, 1 << 16)
    assert len(data) <= 4096
    line = json.loads(data)
    assert line["exception"].startswith("... ")
    assert line["exception"].endswith(f"ValueError: {'ä' * 300}")
    assert (line["event"], line["url"]) == ("it failed", "u" * 500)


def test_what_is_long_in_many_places_fits_too() -> None:
    many: dict[str, object] = {f"value_{n}": ["x" * 10_000, n] for n in range(30)}
    (line,) = lines_of(("hello", many))
    assert line["event"] == "hello"
    assert all(str(line[name]).startswith("['xxx") for name in many)


def test_what_is_no_end_of_values_is_cut_somewhere() -> None:
    with pipe() as (reader, writer), errors_to(writer):
        log.configure("test", "json")
        log.get_logger("here").info("hello", **{f"value_{n}": n for n in range(1000)})
        data = os.read(reader, 1 << 16)
    assert len(data) <= 4096
    assert data.endswith(b"...\n")


def test_a_reader_that_died_costs_lines_only() -> None:
    before = log.dropped_lines
    with pipe() as (reader, writer), errors_to(writer):
        log.configure("test", "json")
        os.close(reader)
        for _ in range(3):
            log.get_logger("here").info("nobody reads this")
    assert log.dropped_lines == before + 3


def test_a_full_pipe_costs_lines_only() -> None:
    """The test would hang here if a line were waited for."""
    before = log.dropped_lines
    with pipe() as (_, writer), errors_to(writer):
        log.configure("test", "json")
        for _ in range(100):
            log.get_logger("here").info("x" * 3000)
    assert log.dropped_lines > before


def test_a_closed_standard_error_costs_lines_only() -> None:
    kept = os.dup(2)
    os.close(2)
    try:
        log.configure("test", "auto")
        log.get_logger("here").info("nowhere")
    finally:
        os.dup2(kept, 2)
        os.close(kept)

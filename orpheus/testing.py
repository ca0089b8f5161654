"""Runs a handler inside a test: no database, no worker, no clock.

    from orpheus.testing import FakeContext, run

    assert run(resize, {"path": "a.png"}) == {"width": 800}

The payload is validated and the result turned into JSON as in a real run; exceptions come out as
the handler raised them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio

from orpheus.errors import JobCancelled
from orpheus.handlers.loader import job_type_of
from orpheus.handlers.strict_json import dump_json


@dataclass
class FakeLog:
    """A job's log that keeps its lines as `(level, message, fields)`."""

    lines: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)

    def debug(self, message: str, **fields: object) -> None:
        self.lines.append(("debug", message, fields))

    def info(self, message: str, **fields: object) -> None:
        self.lines.append(("info", message, fields))

    def warning(self, message: str, **fields: object) -> None:
        self.lines.append(("warning", message, fields))

    def error(self, message: str, **fields: object) -> None:
        self.lines.append(("error", message, fields))

    def critical(self, message: str, **fields: object) -> None:
        self.lines.append(("critical", message, fields))


@dataclass
class FakeContext:
    """A `Context` whose every value the test chooses; keeps what the handler told it.

    `progressed` has each call of `progress` as `(current, total, message)`.
    """

    job_id: int = 1
    type: str = "test"
    attempt: int = 1
    deadline: datetime = datetime(2100, 1, 1, tzinfo=UTC)
    cancelled: bool = False
    log: FakeLog = field(default_factory=FakeLog)
    progressed: list[tuple[float, float, str]] = field(default_factory=list)

    def check(self) -> None:
        if self.cancelled:
            raise JobCancelled("the job was cancelled")

    def progress(self, current: float, total: float = 1, message: str = "") -> None:
        self.progressed.append((current, total, message))


def run(
    handler: Callable[..., Any],
    payload: Mapping[str, object] | None = None,
    context: FakeContext | None = None,
) -> Any:
    """The result of a `@job` function for a payload, after its trip through JSON.

    Raises InvalidRequest where the payload does not fit the signature, TypeError or ValueError
    where the result is not JSON, and whatever the handler raises.
    """
    job_type = job_type_of(handler)
    arguments = job_type.signature.arguments(dump_json(payload or {}), context or FakeContext())
    call = partial(handler, **arguments)
    value = anyio.run(call) if job_type.lane == "async" else call()
    return json.loads(dump_json(value))

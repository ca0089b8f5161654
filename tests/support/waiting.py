"""Waiting for a fact instead of for a duration.

Every test that depends on another process or thread waits through here, so that a slow machine
makes a test slower and never red, and a broken one fails at a stated deadline with the last
reason.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

T = TypeVar("T")

_INTERVAL = 0.01


def eventually(check: Callable[[], T], timeout: float = 10.0, message: str = "") -> T:
    """The first truthy value of `check`; an AssertionError inside it means "not yet"."""
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        value: T | None = None
        try:
            value = check()
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(check, timeout, message, value)) from failure
        time.sleep(_INTERVAL)


async def eventually_async(
    check: Callable[[], Awaitable[T]],
    timeout: float = 10.0,  # noqa: ASYNC109  (a deadline to fail at with a reason, not to cancel)
    message: str = "",
) -> T:
    """`eventually` for a coroutine function."""
    deadline = time.monotonic() + timeout
    while True:
        failure: AssertionError | None = None
        value: T | None = None
        try:
            value = await check()
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() >= deadline:
            raise AssertionError(_complaint(check, timeout, message, value)) from failure
        await anyio.sleep(_INTERVAL)


def never(check: Callable[[], object], during: float) -> None:
    """Fails if `check` becomes true within `during` seconds. The one wait that takes its time."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        value = check()
        if value:
            raise AssertionError(f"happened, and must not: {value!r}")
        time.sleep(_INTERVAL)


def _complaint(check: object, timeout: float, message: str, last: object) -> str:
    what = message or getattr(check, "__name__", repr(check))
    return f"not within {timeout:g} s: {what} (last value: {last!r})"

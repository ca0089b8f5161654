"""`@job`: says that a function handles a job type.

Returns the function itself, so it can be called and tested like any other. Checks the options
at once, so that a wrong one fails at its own line; the signature is read when the registry is
built, because its annotations may name things defined further down.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, overload

from orpheus.errors import ConfigurationError
from orpheus.handlers import fields, limits
from orpheus.handlers.declaration import Backoff, Declaration, declare, place_of
from orpheus.handlers.fields import FieldError

F = TypeVar("F", bound=Callable[..., Any])


@overload
def job(function: F, /) -> F: ...


@overload
def job(
    name: str | None = None,
    /,
    *,
    queue: str = limits.DEFAULT_QUEUE,
    timeout: float | None = None,
    max_retries: int | None = None,
    max_crashes: int | None = None,
    backoff: float | Backoff | None = None,
) -> Callable[[F], F]: ...


def job(
    name: Any = None,
    /,
    *,
    queue: str = limits.DEFAULT_QUEUE,
    timeout: float | None = None,
    max_retries: int | None = None,
    max_crashes: int | None = None,
    backoff: float | Backoff | None = None,
) -> Any:
    """Declare a handler, as `@job` or as `@job("name", timeout=30, …)`.

    `name` defaults to the function's. `timeout` is in seconds, `backoff` the seconds before the
    first retry or a `Backoff`. What is not given comes from the settings; a job may override
    `queue`, `timeout` and `max_retries`. Raises ConfigurationError for an option out of range.
    """

    def decorate(function: F) -> F:
        given = function.__name__ if name is None else name
        try:
            declare(
                Declaration(
                    handler=function,
                    name=_checked("name", fields.name, given),
                    queue=_checked("queue", fields.name, queue),
                    timeout=_optional("timeout", fields.timeout, timeout),
                    max_retries=_optional(
                        "max_retries", fields.integer(*limits.MAX_RETRIES), max_retries
                    ),
                    max_crashes=_optional(
                        "max_crashes", fields.integer(*limits.MAX_CRASHES), max_crashes
                    ),
                    backoff=_backoff(backoff),
                )
            )
        except ConfigurationError as error:
            raise ConfigurationError(f"@job at {place_of(function)}: {error}") from None
        return function

    if callable(name):
        function, name = name, None
        return decorate(_function(function))
    return lambda function: decorate(_function(function))


def _function(value: object) -> Any:
    """Only plain functions: a class, a method or a generator has no run to settle."""
    if not isinstance(value, FunctionType):
        raise ConfigurationError(f"@job decorates a function, not {type(value).__name__}")
    if inspect.isgeneratorfunction(value) or inspect.isasyncgenfunction(value):
        raise ConfigurationError(
            f"@job at {place_of(value)}: a handler returns its result once, it cannot yield"
        )
    return value


def _checked(option: str, read: Callable[[object], object], value: Any) -> Any:
    try:
        read(value)
    except FieldError as error:
        raise ConfigurationError(f"{option} {error.message}") from None
    return value


def _optional(option: str, read: Callable[[object], object], value: Any) -> Any:
    return None if value is None else _checked(option, read, value)


def _backoff(value: float | Backoff | None) -> Backoff | None:
    if value is None:
        return None
    backoff = value if isinstance(value, Backoff) else Backoff(value, _cap_for(value))
    _checked("backoff", fields.delay, backoff.base)
    _checked("the cap of backoff", fields.delay, backoff.cap)
    if backoff.cap < backoff.base:
        raise ConfigurationError("the cap of backoff must be at least its base")
    return backoff


def _cap_for(base: object) -> float:
    """A base above the usual cap is meant."""
    usual = Backoff().cap
    return max(usual, base) if isinstance(base, (int, float)) else usual

"""Handlers to try Orpheus with: slow, failing, crashing ones.

Named in the shipped `config/orpheus.toml`; remove them there. The tests use them too.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Annotated, Literal

import anyio
from pydantic import Field

from orpheus.errors import PermanentError
from orpheus.handlers.context import Context
from orpheus.handlers.decorator import job

Seconds = Annotated[float, Field(ge=0, le=86_400)]

_NAP = 0.25
_STEP = 0.1


@job
def sleep(ctx: Context, seconds: Seconds = 1.0) -> dict[str, float]:
    """Sleep, looking up now and then for a cancel."""
    left = seconds
    while left > 0:
        time.sleep(min(left, _NAP))
        left -= _NAP
        ctx.check()
    return {"slept": seconds}


@job
async def asleep(seconds: Seconds = 1.0) -> dict[str, float]:
    """Sleep without keeping a worker from other async jobs."""
    await anyio.sleep(seconds)
    return {"slept": seconds}


@job
def flaky(ctx: Context, failures: Annotated[int, Field(ge=0)] = 2) -> dict[str, int]:
    """Fail the first attempts, then succeed."""
    if ctx.attempt <= failures:
        raise RuntimeError(f"attempt {ctx.attempt} fails, as do the first {failures}")
    return {"attempt": ctx.attempt}


@job
def fail(message: str = "asked to fail", permanent: bool = False) -> None:
    """Fail each time, or at once for good."""
    if permanent:
        raise PermanentError(message)
    raise RuntimeError(message)


@job
def crash(how: Literal["exit", "segv", "abort", "kill"] = "exit") -> None:
    """Take the worker process down."""
    if how == "exit":
        os._exit(3)
    if how == "abort":
        os.abort()
    os.kill(os.getpid(), {"segv": signal.SIGSEGV, "kill": signal.SIGKILL}[how])


@job
def countdown(ctx: Context, steps: Annotated[int, Field(ge=0, le=100_000)] = 5) -> dict[str, int]:
    """Count down to nothing, reporting progress and writing a log line for each step."""
    for done in range(steps):
        ctx.check()
        ctx.log.info("counting down", left=steps - done)
        time.sleep(_STEP)
        ctx.progress(done + 1, steps, f"{steps - done - 1} to go")
    return {"counted": steps}

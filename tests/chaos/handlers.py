"""Handlers that leave a trace outside Orpheus, for the checker to hold against its records."""

from __future__ import annotations

import os
import time

from orpheus import Context, job


def trace(path: str, *words: object) -> None:
    """Append one line; O_APPEND keeps lines of several processes whole."""
    line = " ".join(map(str, (time.monotonic_ns(), os.getpid(), *words))) + "\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


@job(max_crashes=100, backoff=0.2)
def double(ctx: Context, n: int, path: str, milliseconds: int, ballast: str = "") -> int:
    """Twice `n`, slowly; every millisecond of work is on record. `ballast` only weighs."""
    trace(path, ctx.job_id, ctx.attempt, "begin")
    for _ in range(milliseconds):
        time.sleep(0.001)
        trace(path, ctx.job_id, ctx.attempt, "beat")
    trace(path, ctx.job_id, ctx.attempt, "end")
    return 2 * n


@job
def hold_gil(ctx: Context, rounds: int, path: str) -> int:
    """One C call that never lets go of the interpreter: no signal's function runs meanwhile."""
    trace(path, ctx.job_id, ctx.attempt, "begin")
    total = sum(range(rounds))
    trace(path, ctx.job_id, ctx.attempt, "end")
    return total


@job
def tiny(n: int) -> int:
    return n + 1

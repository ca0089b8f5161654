"""The job types of the benchmark, as Orpheus runs them."""

from __future__ import annotations

import time

from bench import marks
from orpheus import job


@job
def bench_sum(n: int) -> dict[str, int]:
    """What every peer runs: near to nothing."""
    value = sum(range(1, n + 1))
    marks.count()
    return {"sum": value}


@job
def bench_sleep(ms: int) -> None:
    """A job that takes its time."""
    time.sleep(ms / 1000)
    marks.count()


@job
def bench_payload(text: str) -> int:
    """A job with much to carry."""
    marks.count()
    return len(text)


@job
def bench_stamp(sent: int) -> None:
    """Notes when it started."""
    marks.stamp(sent)

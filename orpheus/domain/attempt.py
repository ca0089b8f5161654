"""The attempt: one try of a job by one worker, whose id is the fencing token."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """How an attempt ended."""

    DONE = "done"
    FAILED = "failed"
    FAILED_PERMANENT = "failed_permanent"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Claim(NamedTuple):
    """One leased job in the hands of a worker. `timeout` and `run_at` are in microseconds.

    A tuple, because hundreds are made at a time inside the gate, where a frozen dataclass takes
    five times as long.
    """

    attempt_id: int
    job_id: int
    number: int
    type: str
    queue: str
    lane: str
    payload: str
    timeout: int
    retries: int
    crashes: int
    run_at: int

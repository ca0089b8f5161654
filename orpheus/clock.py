"""The only module that reads time. Everything else is handed a `Clock`.

Wall time is integer microseconds since the epoch and serves `run_at`, retention and display.
Monotonic time is integer nanoseconds of this boot and serves leases, deadlines and durations;
it is comparable between the processes of one boot, named by `boot_id`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

SECOND_US = 1_000_000
SECOND_NS = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Source of time; tests inject their own."""

    @property
    def boot_id(self) -> str:
        """Names the boot whose monotonic clock `monotonic` reads."""

    def now(self) -> int:
        """Wall clock, microseconds since the epoch."""

    def monotonic(self) -> int:
        """Monotonic clock, nanoseconds."""


class SystemClock:
    """The machine's clocks."""

    def __init__(self) -> None:
        self._boot_id = _read_boot_id()

    @property
    def boot_id(self) -> str:
        return self._boot_id

    def now(self) -> int:
        return time.time_ns() // 1000

    def monotonic(self) -> int:
        return time.monotonic_ns()


@cache
def _read_boot_id() -> str:
    """Boot id plus time namespace: both reset the monotonic clock."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        # macOS: the boot time itself; rounded, as it drifts with clock adjustments.
        boot = f"up{round((time.time() - time.monotonic()) / 60)}"
    try:
        namespace = Path("/proc/self/ns/time").readlink().name
    except OSError:
        return boot
    return f"{boot}/{namespace}"


def to_rfc3339(wall_us: int) -> str:
    """`2026-01-31T12:00:00.000000Z` for microseconds since the epoch."""
    moment = _EPOCH + timedelta(microseconds=wall_us)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_datetime(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)

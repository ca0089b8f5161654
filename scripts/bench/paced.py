"""Twenty calls a second, evenly, so that the pool is idle before each."""

from __future__ import annotations

import time
from collections.abc import Callable

PER_SECOND = 20


def paced(call: Callable[[], object], times: int, per_second: float = PER_SECOND) -> None:
    """Call so often; late ones are not made up for."""
    due = time.monotonic()
    for _ in range(times):
        due = max(due + 1 / per_second, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
        call()

"""When a failed job runs again: exponential backoff with a small smear."""

from __future__ import annotations

from random import Random


def backoff_delay(failure: int, base: int, cap: int, rng: Random) -> int:
    """Microseconds before the retry after `failure` failures (1, 2, …).

    `min(cap, base * 2^(failure-1))` times a factor drawn evenly from 0.8 to 1.2, so that jobs
    that failed together do not come back together.
    """
    # Past 2^62 every cap is reached; unbounded exponents would only build huge integers.
    delay = min(cap, base << min(failure - 1, 62))
    return round(delay * rng.uniform(0.8, 1.2))

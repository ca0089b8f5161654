"""The buckets of the duration histograms, in seconds, from 5 ms to an hour."""

from __future__ import annotations

from bisect import bisect_left

BUCKETS = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    15.0,
    60.0,
    300.0,
    900.0,
    3600.0,
)
LABELS = (*(str(bound) for bound in BUCKETS), "+Inf")


def bucket_label(seconds: float) -> str:
    """The label of the one bucket that an observation raises; rendering makes them cumulative."""
    return LABELS[bisect_left(BUCKETS, seconds)]

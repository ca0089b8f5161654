"""What every peer runs."""

from __future__ import annotations

from bench import marks


def sum_range(n: int) -> dict[str, int]:
    """The near-empty job."""
    value = sum(range(1, n + 1))
    marks.count()
    return {"sum": value}


def started(sent: int) -> None:
    """The job whose start is timed."""
    marks.stamp(sent)

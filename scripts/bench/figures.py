"""The arithmetic of a benchmark: median, spread, percentiles, and numbers as people read them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence


def median(samples: Sequence[float]) -> float:
    """The middle sample."""
    return float(statistics.median(samples))


def spread(samples: Sequence[float]) -> float:
    """How far the samples lie apart: (largest - smallest) / median; 0 for one sample."""
    middle = median(samples)
    return (max(samples) - min(samples)) / middle if middle else 0.0


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` percent of all do not exceed."""
    ordered = sorted(samples)
    rank = math.ceil(len(ordered) * share / 100)
    return ordered[min(len(ordered), max(1, rank)) - 1]


def plain(value: float) -> str:
    """Three significant figures, with commas: 41,300 · 12.3 · 0.046."""
    if value == 0:
        return "0"
    if abs(value) >= 1000:
        digits = len(str(int(abs(value)))) - 3
        return f"{round(value, -digits):,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def with_spread(samples: Sequence[float]) -> str:
    """`41,300 ± 4 %`: median and half the spread; a single sample stands alone."""
    text = plain(median(samples))
    return text if len(samples) < 2 else f"{text} ± {spread(samples) * 50:.0f} %"

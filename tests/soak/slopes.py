"""Whether a figure stays flat: a line through its samples, and what it may rise by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import linear_regression, median

# What a process learns in its first minutes (caches, arenas, connections) is no leak.
WARM_UP = 0.25
# By how much a figure may rise in an hour, beside a share of itself for what wavers.
_MB_AN_HOUR = 4.0
_COUNT_AN_HOUR = 2.0
_SHARE_AN_HOUR = 0.05
_WAL_MB = 64.0


@dataclass(frozen=True, slots=True)
class Slope:
    """A figure over a run: medians of its first and last quarter, largest, rise in an hour."""

    name: str
    first: float
    last: float
    largest: float
    an_hour: float

    @property
    def flat(self) -> bool:
        """Whether it does not grow. The log of the database swells and shrinks: it has a bound."""
        if self.name == "wal":
            return self.largest <= _WAL_MB
        allowed = _MB_AN_HOUR if self.name.startswith("rss") else _COUNT_AN_HOUR
        return self.an_hour <= allowed + _SHARE_AN_HOUR * self.first


def slope(name: str, samples: Sequence[tuple[float, float]]) -> Slope:
    """`samples` are (seconds, value), in order; the first of them warm up and do not count."""
    counted = samples[int(len(samples) * WARM_UP) :]
    seconds = [at for at, _ in counted]
    values = [value for _, value in counted]
    quarter = max(1, len(values) // 4)
    an_hour = 3600 * linear_regression(seconds, values).slope
    return Slope(name, median(values[:quarter]), median(values[-quarter:]), max(values), an_hour)


def table(slopes: Sequence[Slope]) -> str:
    """Markdown."""
    lines = [
        "| figure | first quarter | last quarter | largest | an hour | |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for one in slopes:
        figures = f"{one.first:.1f} | {one.last:.1f} | {one.largest:.1f} | {one.an_hour:+.2f}"
        lines.append(f"| {one.name} | {figures} | {'flat' if one.flat else '**grows**'} |")
    return "\n".join(lines)

"""What a run found: samples by part, subject and figure, and what is missing, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bench.figures import median, spread


@dataclass
class Figure:
    """One figure of one subject; a sample a round."""

    part: str
    subject: str
    name: str
    unit: str
    samples: list[float] = field(default_factory=list)
    note: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)


@dataclass(frozen=True)
class Missing:
    """Something that could not be measured."""

    part: str
    subject: str
    reason: str


class Results:
    """The figures of a run, in the order in which they first came."""

    def __init__(self) -> None:
        self.machine: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.missing: list[Missing] = []
        self._figures: dict[tuple[str, str, str], Figure] = {}

    def add(
        self, part: str, subject: str, name: str, unit: str, value: float, note: str = ""
    ) -> None:
        """One more sample."""
        key = (part, subject, name)
        figure = self._figures.setdefault(key, Figure(part, subject, name, unit))
        figure.samples.append(value)
        figure.note = note or figure.note

    def skip(self, part: str, subject: str, reason: str) -> None:
        """Say why there is no figure."""
        one = Missing(part, subject, reason)
        if one not in self.missing:
            self.missing.append(one)

    def of(self, part: str) -> list[Figure]:
        """The figures of a part."""
        return [figure for figure in self if figure.part == part]

    def get(self, part: str, subject: str, name: str) -> Figure | None:
        """One figure, if it was measured."""
        return self._figures.get((part, subject, name))

    def __iter__(self) -> Iterator[Figure]:
        return iter(self._figures.values())

    def document(self) -> dict[str, Any]:
        """Everything, for the JSON file."""
        return {
            "machine": self.machine,
            "seconds": self.seconds,
            "figures": [
                {
                    "part": figure.part,
                    "subject": figure.subject,
                    "name": figure.name,
                    "unit": figure.unit,
                    "median": figure.value,
                    "spread": spread(figure.samples),
                    "samples": figure.samples,
                    "note": figure.note,
                }
                for figure in self
            ],
            "missing": [vars(one) for one in self.missing],
        }

"""What every part of a run is handed: sizes, the folder, the results."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from bench.results import Results


@dataclass
class Run:
    """One run of the benchmark. `scale` shrinks job counts; 1 is the real size."""

    folder: Path
    rounds: int
    quick: bool
    scale: float
    five_million: bool = False
    peers: tuple[str, ...] = ()
    results: Results = field(default_factory=Results)
    _numbers: Iterator[int] = field(default_factory=count)

    def jobs(self, n: int) -> int:
        """A number of jobs at this run's size."""
        return max(20, int(n * self.scale))

    def seconds(self, full: float, quick: float) -> float:
        """A length of time at this run's size."""
        return max(1.0, (quick if self.quick else full) * min(1.0, self.scale * 4))

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """A folder for one measurement; removed after it."""
        folder = self.folder / f"{name}-{next(self._numbers)}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def say(self, text: str) -> None:
        """A line of progress."""
        print(text, file=sys.stderr, flush=True)

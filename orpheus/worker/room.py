"""How many jobs a worker claims at once: as many as are about 20 ms of work."""

from __future__ import annotations

from orpheus.clock import SECOND_NS

_TARGET_NS = SECOND_NS // 50
_MOST = 256
_GROWTH = 4


class Room:
    """Follows the measured duration of jobs; starts at 1 and shrinks at once."""

    def __init__(self) -> None:
        self.size = 1

    def measured(self, jobs: int, elapsed: int) -> None:
        """A batch of `jobs` took `elapsed` nanoseconds to run."""
        if jobs:
            fitting = _TARGET_NS * jobs // max(elapsed, 1)
            self.size = max(1, min(fitting, self.size * _GROWTH, _MOST))

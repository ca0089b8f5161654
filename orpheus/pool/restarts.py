"""When a child that died may be replaced, and when to give up. Arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass

from orpheus.clock import SECOND_NS

QUICK = SECOND_NS
_FIRST_DELAY = SECOND_NS // 10
_LONGEST_DELAY = 5 * SECOND_NS
# So many deaths in a row before being ready: this will not heal by trying again.
_BUDGET = 5


@dataclass(slots=True)
class Restarts:
    """The record of one place. Times are monotonic nanoseconds."""

    not_before: int = 0
    quick_deaths: int = 0
    unready_deaths: int = 0

    @property
    def exhausted(self) -> bool:
        """Whether the place is in a crash loop that never got as far as working."""
        return self.unready_deaths >= _BUDGET

    def retired(self, now: int) -> None:
        """Take note of an end that was meant, after some work: the next may come at once."""
        self.unready_deaths = self.quick_deaths = 0
        self.not_before = now

    def died(self, now: int, lived: int, *, ready: bool) -> None:
        """Take note of a death after `lived`. The first quick one in a row costs no wait."""
        self.unready_deaths = 0 if ready else self.unready_deaths + 1
        self.quick_deaths = self.quick_deaths + 1 if lived < QUICK else 0
        self.not_before = now + self._delay()

    def _delay(self) -> int:
        if self.quick_deaths <= 1:
            return 0
        # Bounded exponent: a pool that crashes for weeks must not compute with huge numbers.
        return min(_LONGEST_DELAY, _FIRST_DELAY << min(self.quick_deaths - 2, 16))

"""A clock that only moves when told to, and can be set wrong in the ways real ones are."""

from __future__ import annotations

from orpheus.clock import SECOND_NS, SECOND_US

_START_US = 1_700_000_000 * SECOND_US


class FakeClock:
    """Starts in 2023 with an hour of uptime."""

    def __init__(self) -> None:
        self._wall = _START_US
        self._monotonic = 3600 * SECOND_NS
        self._boot = 1

    @property
    def boot_id(self) -> str:
        return f"boot-{self._boot}"

    def now(self) -> int:
        return self._wall

    def monotonic(self) -> int:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self._wall += round(seconds * SECOND_US)
        self._monotonic += round(seconds * SECOND_NS)

    def jump(self, seconds: float) -> None:
        """Somebody sets the wall clock; no time passes."""
        self._wall += round(seconds * SECOND_US)

    def reboot(self) -> None:
        """Another boot: the monotonic clock starts anew."""
        self._boot += 1
        self._monotonic = SECOND_NS

"""Who starts the two programs again: the harness itself, as supervisord would."""

from __future__ import annotations

import signal
from typing import Protocol

from orpheus.errors import EXIT_TEMPORARY
from tests.support.system import System

# By a signal of ours, in order, or "try again"; anything else is a defect.
_EXPECTED_ENDS = frozenset({-signal.SIGKILL, 0, 75})


class Programs(Protocol):
    """The API ("api") and the pool "main" of a system under attack."""

    # Ends of programs that no blow explains.
    oddities: list[str]

    def pid(self, program: str) -> int | None:
        """The process of the API or of a pool's master, None while it is down."""

    def tend(self) -> None:
        """Start again what has ended."""

    def ripe(self, program: str) -> bool:
        """Whether it may be struck: supervisord gives up what ends at once several times."""

    def restart(self, program: str) -> None:
        """`supervisorctl stop`, then `start`; not waited for."""

    def busy(self) -> bool:
        """Whether a `restart` is under way."""


class ByHarness:
    """Starts what ended at the next look."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.oddities: list[str] = []

    def pid(self, program: str) -> int | None:
        return pid_of(self._system, program)

    def tend(self) -> None:
        api, main = self._system.api, self._system.pools.get("main")
        if api is not None and (code := api.poll()) is not None:
            self._note("api", code)
            self._system.api = self._system.spawn("api")
        if main is not None and (code := main.poll()) is not None:
            self._note("main", code)
            self._system.start_pool()
        try_second_again(self._system)

    def ripe(self, program: str) -> bool:
        return True

    def restart(self, program: str) -> None:
        raise NotImplementedError("needs a supervisord")

    def busy(self) -> bool:
        return False

    def _note(self, program: str, code: int) -> None:
        if code not in _EXPECTED_ENDS:
            self.oddities.append(f"{program} ended with {code}")


def try_second_again(system: System) -> None:
    """The second pool stays down when it was struck or ended, but not when it said "try again"."""
    second = system.pools.get("second")
    if second is not None and second.poll() == EXIT_TEMPORARY:
        system.start_pool("second")


def pid_of(system: System, program: str) -> int | None:
    """The pid of a program that the test itself has started."""
    process = system.api if program == "api" else system.pools.get(program)
    return process.pid if process is not None and process.poll() is None else None

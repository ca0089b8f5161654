"""What a pool is: the master's only input, put together by the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from orpheus.clock import SECOND_NS, Clock, SystemClock
from orpheus.ipc.seats import MaintenanceSeat, WorkerSeat


@dataclass(frozen=True, slots=True)
class PoolSpec:
    """A pool. The three callables run in children, and only there may anything heavy be imported.

    The folders exist already. `prepare` runs once before all others; any answer but 0 becomes
    the master's own exit code.
    """

    pool: str
    processes: int
    run_dir: Path
    locks_dir: Path
    gate_path: Path
    lease_seconds: float
    drain_seconds: float
    grace_seconds: float
    prepare: Callable[[], int]
    maintenance: Callable[[MaintenanceSeat], int]
    worker: Callable[[WorkerSeat], int]
    start_seconds: float = 120
    clock: Clock = field(default_factory=SystemClock)

    @property
    def lease(self) -> int:
        """Nanoseconds."""
        return round(self.lease_seconds * SECOND_NS)

    @property
    def drain(self) -> int:
        """Nanoseconds."""
        return round(self.drain_seconds * SECOND_NS)

    @property
    def grace(self) -> int:
        """Nanoseconds."""
        return round(self.grace_seconds * SECOND_NS)

    @property
    def start(self) -> int:
        """Nanoseconds."""
        return round(self.start_seconds * SECOND_NS)

    @property
    def slots(self) -> int:
        """More than workers: a dead slot stays taken until maintenance has settled it."""
        return 2 * self.processes + 8

    @property
    def lock_path(self) -> Path:
        return self.locks_dir / f"pool-{self.pool}.lock"

"""The pool under maintenance: what every duty is handed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from orpheus.clock import SECOND_NS, Clock
from orpheus.ipc.doorbell import ring_all
from orpheus.ipc.scoreboard import ALIVE, Scoreboard, Slot
from orpheus.settings import Settings
from orpheus.store.database import Database
from orpheus.store.transaction import Transaction

# Shorter than the silence after which the master takes maintenance for stuck: whoever holds the
# gate that long is stuck itself, and is the watchdog's business.
_GATE_TIMEOUT = 2.0


@dataclass(slots=True)
class Pool:
    """One pool run: its scoreboard, and the database of its data folder."""

    name: str
    board: Scoreboard
    database: Database
    settings: Settings
    clock: Clock
    rng: Random = field(default_factory=Random)

    @property
    def lease(self) -> int:
        """The lease in nanoseconds."""
        return int(self.settings.lease_seconds * SECOND_NS)

    @contextmanager
    def write(self, *, synced: bool = True) -> Iterator[Transaction]:
        """A write transaction; StoreBusy when the gate stays shut for 2 s."""
        with self.database.write(_GATE_TIMEOUT, synced=synced) as tx:
            yield tx

    def living(self) -> list[Slot]:
        """The slots of workers that are registered and not reported dead."""
        return [slot for slot in self.board.slots if slot.state == ALIVE and slot.worker_id]

    def ring_workers(self) -> None:
        """There may be work for any worker of any pool."""
        ring_all(self.settings.run_dir / "bells", "work-")

    def ring_feeds(self) -> None:
        """Events were committed."""
        ring_all(self.settings.run_dir / "bells", "feed-")

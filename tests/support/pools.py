"""A pool run inside the test's own process: real store, real scoreboard, no processes.

Workers are `SyncLane`s whose user code is a function of the test, so a test can stand between
any two steps of a protocol and let maintenance act there.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from orpheus.clock import SECOND_NS, SECOND_US, SystemClock
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.job import NewJob
from orpheus.domain.outcome import FinishedAttempt
from orpheus.ipc.doorbell import Doorbell, worker_bell
from orpheus.ipc.locks import FileLock, worker_lock
from orpheus.ipc.scoreboard import ALIVE, Scoreboard, Slot, board_path
from orpheus.maintenance.pool import Pool
from orpheus.settings import Settings, load_settings, prepare_data_dir
from orpheus.store import workers
from orpheus.store.claim import WorkerIdentity
from orpheus.store.database import Database
from orpheus.store.migrate import migrate
from orpheus.store.submit import submit
from orpheus.worker.soft_stop import SoftStop
from orpheus.worker.sync_lane import SyncLane


class ShiftedClock(SystemClock):
    """The machine's clocks, ahead by what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead = 0.0
        self.boot = super().boot_id

    @property
    def boot_id(self) -> str:
        return self.boot

    def now(self) -> int:
        return super().now() + int(self.ahead * SECOND_US)

    def monotonic(self) -> int:
        return super().monotonic() + int(self.ahead * SECOND_NS)


@dataclass
class PoolBench:
    """One data folder with pools to act on."""

    settings: Settings
    clock: ShiftedClock
    database: Database
    lifeline: int
    _open: list[Callable[[], None]] = field(default_factory=list)

    def pool(self, name: str = "main", run: int = 1) -> Pool:
        """A run of a pool, as its maintenance sees it; `run` tells runs apart."""
        path = board_path(self.settings.run_dir, name, 10_000 + run, run)
        board = Scoreboard.create(path, 8, name, self.clock.boot_id, 10_000 + run, run)
        self._open.append(board.close)
        return Pool(name, board, self.database, self.settings, self.clock, Random(1))

    def lane(
        self,
        pool: Pool,
        run_attempt: Callable[[Claim], FinishedAttempt],
        index: int = 0,
        room: int = 10,
        slot: Any = None,
        pid: int | None = None,
    ) -> SyncLane:
        """A registered worker in slot `index`, which claims `room` jobs at a time."""
        slot = slot or pool.board.slots[index]
        pid = pid or 20_000 + index
        with self.database.write() as tx:
            id_, name = workers.register(tx, pool.name, pid, 1, self.clock.boot_id, "sync")
        bell = Doorbell(worker_bell(self.settings.run_dir, pool.name, index))
        self._open.append(bell.close)
        slot.pid, slot.start_time, slot.worker_id = pid, 1, id_
        slot.state = ALIVE
        lease = int(self.settings.lease_seconds * SECOND_NS)
        lane = SyncLane(
            WorkerIdentity(id_, name, pid, self.clock.boot_id, ("sync", "async"), lease),
            slot,
            self.database,
            bell,
            self.lifeline,
            SoftStop(slot),
            self.settings,
            self.clock,
            run_attempt,
            Random(1),
        )
        self._open.append(lane.close)
        lane.room.size = room
        return lane

    def lock_of(self, lane: SyncLane) -> FileLock:
        """The lock file that says this worker lives, held by the test."""
        lock = FileLock(worker_lock(self.settings.locks_dir, lane.worker.id))
        lock.acquire()
        self._open.append(lock.close)
        return lock

    def submit(self, count: int, **options: Any) -> list[int]:
        """Submit jobs and return their ids."""
        job = NewJob("work", "default", "sync", "{}", **options)
        with self.database.write() as tx:
            return [one.id for one in submit(tx, [job] * count, 10**6)]

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of the database as it is now."""
        return self.database.connection.execute(sql, parameters).fetchall()

    def states(self) -> dict[int, str]:
        return dict(self.query("SELECT id, state FROM jobs ORDER BY id"))

    def close(self) -> None:
        for close in self._open:
            close()
        self.database.close()


@contextmanager
def pool_bench(folder: Path, template: bytes | None = None, **flags: Any) -> Iterator[PoolBench]:
    """A fresh data folder below `folder`; `template` are the bytes of a migrated database."""
    settings = load_settings({"data_dir": folder / "data", **flags}, cwd=folder, environ={})
    prepare_data_dir(settings)
    clock = ShiftedClock()
    if template is None:
        migrate(settings, clock)
    else:
        settings.database_path.write_bytes(template)
    reading, writing = os.pipe()
    bench = PoolBench(settings, clock, Database(settings, clock), reading)
    try:
        yield bench
    finally:
        bench.close()
        os.close(reading)
        os.close(writing)


def done(claim: Claim, bench: PoolBench, result: str = "1") -> FinishedAttempt:
    """The report of a run that went well."""
    now = bench.clock.now()
    return FinishedAttempt(claim.attempt_id, Outcome.DONE, now, now, result)


def begin(slot: Slot, claim: Claim, bench: PoolBench) -> None:
    """What `execute` writes when user code begins."""
    slot.started_mono, slot.started_wall = bench.clock.monotonic(), bench.clock.now()
    slot.armed = claim.attempt_id

"""Whether new jobs may come in: room in the queue, and room on the disk.

Asked by whoever submits (the API's writer, the direct client), each for itself. Work is refused
before the disk is full, because on a full one not even a result can be written. Both doors open
again a little later than they closed, so that they do not open and close with every job.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from orpheus.clock import SECOND_NS, Clock
from orpheus.errors import RequestError
from orpheus.settings import Settings
from orpheus.store.idempotency import IdempotencyKey, is_kept
from orpheus.store.submit import QueueFull, has_room

# Below this nobody claims either: what is left is for the results of what runs.
CLAIM_FLOOR_BYTES = 64 * 1024 * 1024
_SUBMIT_FLOOR_BYTES = 256 * 1024 * 1024
# The log is copied into the database file while it still stands beside it.
_LOGS = 4
_REOPEN_DISK = 1.1
_REOPEN_QUEUE = 0.95
_LOOK_EACH_NS = SECOND_NS


class Disk:
    """The free space of a data folder, looked at once a second."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._folder = settings.data_dir
        self._log = Path(f"{settings.database_path}-wal")
        self._clock = clock
        self._look_after = 0
        self._free = 0
        self._low = False

    def free(self) -> int:
        """Bytes that we may still write; 0 where the folder is gone."""
        self._look()
        return self._free

    def is_low(self) -> bool:
        """Whether new jobs are to be refused."""
        self._look()
        return self._low

    def _look(self) -> None:
        now = self._clock.monotonic()
        if now < self._look_after:
            return
        self._look_after = now + _LOOK_EACH_NS
        self._free = _free_bytes(self._folder)
        floor = max(_SUBMIT_FLOOR_BYTES, _LOGS * _size(self._log))
        self._low = self._free < floor * (_REOPEN_DISK if self._low else 1)


class Admission:
    """Judges the submits of one process."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._disk = Disk(settings, clock)
        self._max_pending = settings.max_pending
        self._full = False

    @property
    def max_pending(self) -> int:
        """How many jobs may wait; fewer from when the queue was full until there is room again."""
        return int(self._max_pending * _REOPEN_QUEUE) if self._full else self._max_pending

    def would_write(
        self, connection: sqlite3.Connection, jobs: int, key: IdempotencyKey | None
    ) -> bool:
        """Whether so many new jobs would be written now: neither refused nor known already.

        A look outside the gate, without a promise.
        """
        if key is not None and is_kept(connection, key):
            return False
        return not self._disk.is_low() and has_room(connection, jobs, self.max_pending)

    def check_disk(self) -> None:
        """Raise RequestError `storage_low`; asked outside the gate."""
        if self._disk.is_low():
            raise RequestError(
                "storage_low",
                f"only {self._disk.free() >> 20} MiB are free where the database is; "
                "no new jobs are taken until there is more",
            )

    def note(self, refused: RequestError | None) -> None:
        """What became of a submit that was judged by `max_pending`."""
        if refused is None:
            self._full = False
        elif isinstance(refused, QueueFull) and refused.none_fits:
            # Not for a batch that was too large while others would have fitted.
            self._full = True


def _free_bytes(folder: Path) -> int:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0

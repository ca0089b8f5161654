"""Backup: one whole, checked file of the database, made beside running programs.

Copies page by page from one read transaction: it takes no lock a writer waits for and never the
gate. While it copies, checkpoints cannot start the log anew, so the log grows by what is written
meanwhile. Called by `orpheus backup`; changes nothing in the database.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from orpheus.clock import SECOND_NS, SECOND_US, Clock
from orpheus.errors import ConfigurationError, StoreBusy, StoreFailed, TemporaryError
from orpheus.settings import Settings
from orpheus.store import database, verify
from orpheus.store.partial_file import PartialFile, partial_file

_STEP_PAGES = 1000
# The log grows while we copy; a backup must not be what fills the disk.
_FREE_FLOOR = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Backup:
    """A backup that was made; `seconds` are for copying and checking."""

    path: Path
    bytes: int
    seconds: float
    contents: verify.Contents


def backup(settings: Settings, destination: Path, clock: Clock, force: bool = False) -> Backup:
    """Copy the database to `destination`: a file, or a folder that gets a dated one.

    Raises ConfigurationError where it can never work that way, TemporaryError where it may later,
    StoreFailed where the database is damaged. Then whatever was at `destination` is still there.
    """
    database.check_engine()
    if not settings.database_path.is_file():
        raise ConfigurationError(
            f"there is no database at {settings.database_path}; nothing to back up"
        )
    target = _target(settings, destination, clock)
    if target.exists() and not force:
        raise ConfigurationError(f"{target} exists; name another file or use --force")
    started = clock.monotonic()
    with _explained(target), partial_file(target.parent) as partial:
        _refuse_too_little_room(settings, target.parent)
        with verify.readonly(settings.database_path) as source:
            found = copy_checked(source, partial, _watch_disk(settings))
        partial.publish(target)
    seconds = (clock.monotonic() - started) / SECOND_NS
    return Backup(target, target.stat().st_size, seconds, found)


def copy_checked(
    source: sqlite3.Connection, partial: PartialFile, watch: Callable[[], None] = lambda: None
) -> verify.Contents:
    """Copy everything `source` sees at this moment into `partial`, and check the copy.

    The copy needs no files beside it. `watch` is called between the pieces.
    """
    with scratch(partial.path) as copy:
        # An unfinished statement keeps the read transaction open: without it each commit of
        # somebody else between two pieces would make the copy start again.
        snapshot = source.execute("SELECT name FROM sqlite_master")
        snapshot.fetchone()
        source.backup(copy, pages=_STEP_PAGES, progress=lambda *_: watch())
        snapshot.close()
    # What was copied says that a log belongs to it. Bytes 18 and 19 are the file format's own
    # way to say that none does; asking SQLite for it would make that log first.
    os.pwrite(partial.descriptor, b"\x01\x01", 18)
    with scratch(partial.path) as copy:
        complaint = verify.schema_complaint(verify.schema_version(copy))
        if complaint:
            raise ConfigurationError(complaint)
        damage = verify.damage(copy)
        if damage:
            raise StoreFailed(f"the copy is damaged: {'; '.join(damage)}")
        return verify.contents(copy)


@contextmanager
def scratch(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a file that is thrown away if anything fails: no journal, no syncs."""
    connection = database.connect(path, "normal")
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        yield connection
    finally:
        database.close(connection)


def _target(settings: Settings, destination: Path, clock: Clock) -> Path:
    target = Path(os.path.abspath(destination))
    if target.is_dir():
        at = datetime.fromtimestamp(clock.now() // SECOND_US, UTC)
        target = target / f"orpheus-{at:%Y%m%dT%H%M%SZ}.db"
    if not target.parent.is_dir():
        raise ConfigurationError(f"{target.parent} is not a folder; make it first")
    real, data_dir = target.parent.resolve() / target.name, settings.data_dir.resolve()
    inside = real.is_relative_to(data_dir)
    if inside and not real.is_relative_to(settings.backups_dir.resolve()):
        raise ConfigurationError(
            f"{target} is in the data folder; back up into {settings.backups_dir} "
            "or, better, to another disk"
        )
    if target.exists() and not target.is_file():
        raise ConfigurationError(f"{target} is not an ordinary file")
    if target.exists() and target.samefile(settings.database_path):
        raise ConfigurationError(f"{target} is the database itself")
    return target


def _refuse_too_little_room(settings: Settings, folder: Path) -> None:
    needed = settings.database_path.stat().st_size
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TemporaryError(
            f"{folder} has {free >> 20} MiB free, the backup needs {needed >> 20} MiB: make room"
        )


def _watch_disk(settings: Settings) -> Callable[[], None]:
    if shutil.disk_usage(settings.data_dir).free < _FREE_FLOOR:
        return lambda: None  # full before we came; a copy elsewhere may be what is wanted

    def watch() -> None:
        if shutil.disk_usage(settings.data_dir).free < _FREE_FLOOR:
            raise TemporaryError(
                f"stopped: the disk of {settings.data_dir} was about to fill up while copying; "
                "make room, or back up to another disk"
            )

    return watch


@contextmanager
def _explained(target: Path) -> Iterator[None]:
    try:
        yield
    except StoreBusy as error:
        raise TemporaryError(f"the backup failed: {error}; try again") from error
    except StoreFailed as error:
        raise StoreFailed(f"the backup failed: {error}; see `orpheus doctor`") from error
    except OSError as error:
        raise TemporaryError(f"cannot write {target}: {error.strerror}") from error

"""Restore: put a backup in the place of the database, with nothing running beside it.

Called by `orpheus restore`. Everything is made ready in a file nobody sees; then, inside the gate
so that no program can start meanwhile, that file takes the database's name. A kill at any moment
leaves the old database or the whole new one. The old one is kept under a dated name.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from orpheus.clock import SECOND_US, Clock
from orpheus.errors import ConfigurationError, OrpheusError, StoreBusy, StoreFailed, TemporaryError
from orpheus.ipc.locks import holder_of, is_free
from orpheus.ipc.openers import command_of, is_open_elsewhere, openers
from orpheus.settings import Settings
from orpheus.store import database, verify, workers
from orpheus.store.backup import copy_checked, scratch
from orpheus.store.gate import Gate, classify
from orpheus.store.migrate import bring_up_to_date
from orpheus.store.partial_file import PartialFile, partial_file, sync_folder
from orpheus.store.reclaim import Death, reclaim
from orpheus.store.transaction import Transaction

_GATE_TIMEOUT = 10.0
# Ids that were told to somebody, or that fence an attempt: a restored database gives no such id
# again. Event numbers may be given again; that is what the feed's epoch is for.
_SEQUENCES = ("jobs", "attempts", "workers")
# For ids given by a database that is lost or cannot be read.
_UNKNOWN_IDS = 1_000_000
_BESIDE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put in place. `kept` is where the replaced database is now, None without one."""

    path: Path
    kept: Path | None
    interrupted: int
    contents: verify.Contents


@dataclass(frozen=True, slots=True)
class _Given:
    """How far the replaced database had counted."""

    restores: int
    ids: dict[str, int]


def restore(settings: Settings, source: Path, clock: Clock) -> Restored:
    """Replace the database by a copy of `source`.

    Raises TemporaryError while anything has the database open, ConfigurationError where `source`
    cannot be served; then nothing has changed.
    """
    database.check_engine()
    source = Path(os.path.abspath(source))
    _refuse_source(settings, source)
    _refuse_running(settings)
    gate = Gate(settings.gate_path, settings.locks_dir / "turn", clock)
    try:
        with _explained(), partial_file(settings.data_dir) as partial:
            _stage(source, partial)
            with gate.held(_GATE_TIMEOUT):
                _refuse_running(settings)
                given = _fold(settings.database_path)
                with scratch(partial.path) as copy:
                    interrupted = _make_ready(copy, given, clock)
                    found = verify.contents(copy)
                kept = _swap(settings.database_path, partial, clock)
    finally:
        gate.close()
    return Restored(settings.database_path, kept, interrupted, found)


def _refuse_source(settings: Settings, source: Path) -> None:
    if not source.is_file():
        raise ConfigurationError(f"{source} is not a file; name a backup")
    if settings.database_path.exists() and source.samefile(settings.database_path):
        raise ConfigurationError(f"{source} is the database itself; name a backup")


def _refuse_running(settings: Settings) -> None:
    path = settings.database_path
    if path.exists() and not os.access(path, os.R_OK | os.W_OK):
        raise ConfigurationError(f"{path} is another user's; restore as the user Orpheus runs as")
    advice = "stop it first (`./scripts/stop` or `supervisorctl stop all`)"
    for lock in sorted(settings.locks_dir.glob("pool-*.lock")):
        if not is_free(lock):
            name = lock.name.removeprefix("pool-").removesuffix(".lock")
            raise TemporaryError(f"pool {name} runs, as process {holder_of(lock)}; {advice}")
    if is_open_elsewhere(path):
        who = ", ".join(f"{pid} ({command_of(pid)})" for pid in openers(path)[:5])
        raise TemporaryError(f"{path} is in use by process {who or 'of another user'}; {advice}")


def _stage(source: Path, partial: PartialFile) -> None:
    needed, free = source.stat().st_size, shutil.disk_usage(partial.path.parent).free
    if free < needed:
        raise TemporaryError(
            f"the data folder has {free >> 20} MiB free, {source} needs {needed >> 20} MiB: "
            "make room"
        )
    try:
        connection = _open_source(source)
        try:
            copy_checked(connection, partial)
        finally:
            database.close(connection)
    except (sqlite3.Error, OrpheusError) as error:
        cause = classify(error) if isinstance(error, sqlite3.Error) else error
        kind = TemporaryError if isinstance(cause, StoreBusy) else ConfigurationError
        raise kind(f"cannot restore {source}: {cause}; the database is unchanged") from error


def _open_source(source: Path) -> sqlite3.Connection:
    """With a log or journal beside it, that is part of it; without, nothing may be made there."""
    beside = [source.with_name(source.name + suffix) for suffix in ("-wal", "-journal")]
    if any(path.exists() and path.stat().st_size for path in beside):
        return database.connect_readonly(source)
    return database.connect_readonly(source, immutable=True)


def _fold(path: Path) -> _Given | None:
    """Write the old database's log back into it, so that it is one file; None if it is unusable."""
    if not path.exists():
        return None
    try:
        connection = database.connect(path, "full")
        try:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
            if mode == "wal":
                raise TemporaryError(f"{path} is in use; stop what uses it first")
            return _given(connection)
        finally:
            database.close(connection)
    except (sqlite3.Error, StoreBusy, StoreFailed) as error:
        cause = classify(error) if isinstance(error, sqlite3.Error) else error
        if isinstance(cause, StoreBusy):
            raise TemporaryError(f"cannot close {path} properly: {cause}") from error
        return None


def _given(connection: sqlite3.Connection) -> _Given | None:
    if verify.schema_complaint(verify.schema_version(connection)):
        return None
    ids = dict(connection.execute("SELECT name, seq FROM sqlite_sequence"))
    return _Given(verify.contents(connection).restores, ids)


def _make_ready(copy: sqlite3.Connection, given: _Given | None, clock: Clock) -> int:
    """Give it an epoch of its own, ids nobody has seen, and no claims of workers long gone."""
    bring_up_to_date(copy)
    own = dict(copy.execute("SELECT name, seq FROM sqlite_sequence"))
    restores = verify.contents(copy).restores
    if given is None:
        # How often the lost one was restored is not known: not the same number by chance.
        restores += secrets.randbelow(2**31) + 1
    else:
        restores = max(restores, given.restores) + 1
    copy.execute("UPDATE meta SET value = ? WHERE key = 'restores'", (restores,))
    transaction = Transaction(copy, clock.now(), clock.monotonic())
    interrupted = _interrupt(transaction)
    transaction.flush()
    for table in _SEQUENCES:
        first = own.get(table, 0)
        seq = first + _UNKNOWN_IDS if given is None else max(first, given.ids.get(table, 0))
        changed = copy.execute(
            "UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (seq, table)
        ).rowcount
        if not changed:
            copy.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, seq))
    return interrupted


def _interrupt(transaction: Transaction) -> int:
    """Settle every open attempt: none of its workers can be told anything any more."""
    open_of = transaction.connection.execute(
        "SELECT worker_id, count(*) FROM attempts WHERE outcome IS NULL GROUP BY worker_id"
    ).fetchall()
    for worker_id, _ in open_of:
        reclaim(transaction, worker_id, Death("restored"), Random())  # noqa: S311
    for worker in workers.live(transaction):
        workers.end(transaction, worker.id, crashed=True, exit_=None)
    return sum(count for _, count in open_of)


def _swap(path: Path, partial: PartialFile, clock: Clock) -> Path | None:
    kept = _free_name(path, clock)
    # A log that stayed would be taken for the new database's own and written into it.
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(kept.with_name(kept.name + suffix))
    sync_folder(path.parent)
    exists = path.exists()
    if exists:
        # A second name first: there is no moment without a database, of which a program that
        # starts would make an empty one.
        try:
            os.link(path, kept)
        except OSError:
            shutil.copy2(path, kept)
    if os.geteuid() == 0:
        # The programs may run as somebody else, and must be able to open it.
        owner = path.stat() if exists else path.parent.stat()
        os.fchown(partial.descriptor, owner.st_uid, owner.st_gid)
    partial.publish(path)
    return kept if exists else None


def _free_name(path: Path, clock: Clock) -> Path:
    seconds = clock.now() // SECOND_US
    while True:
        at = datetime.fromtimestamp(seconds, UTC)
        kept = path.with_name(f"{path.name}.replaced-{at:%Y%m%dT%H%M%SZ}")
        if not any(kept.with_name(kept.name + suffix).exists() for suffix in ("", *_BESIDE)):
            return kept
        seconds += 1


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except StoreBusy as error:
        raise TemporaryError(f"{error}; another program is using the database") from error
    except OSError as error:
        raise TemporaryError(f"cannot restore: {error.strerror} ({error.filename})") from error

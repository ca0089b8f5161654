"""The database itself: engine, integrity, schema, counters, leases, size of the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from orpheus.cli.doctor.finding import Finding, ok, problem, warning
from orpheus.clock import Clock
from orpheus.errors import ConfigurationError, OrpheusError, StoreBusy
from orpheus.ipc.locks import is_free, worker_lock
from orpheus.ipc.process import start_time
from orpheus.settings import Settings
from orpheus.store import inspect, verify
from orpheus.store.database import check_engine

Version = tuple[int, int, int]

# https://sqlite.org/wal.html: the checkpoint beside a writer that may lose or corrupt pages.
_RACE_FIRST: Version = (3, 7, 0)
_RACE_FIXED: Version = (3, 51, 3)
# Where the repair was put back into older lines; 3.52.0 was withdrawn.
_RACE_PATCHED = {(3, 44): 6, (3, 50): 7}
_LARGE_LOG = 256 << 20


def check(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """The findings; where the file cannot be read, that is the last."""
    yield _engine(sqlite3.sqlite_version_info)
    path = settings.database_path
    if not path.exists():
        yield warning("database", f"there is no {path} yet", "start Orpheus once")
        return
    # Opened without a log beside it, as when nothing runs, it would be given an empty one.
    log = path.with_name(path.name + "-wal")
    quiet = not log.exists()
    findings = list(_inside(settings, clock, immutable=quiet))
    if quiet and log.exists():
        findings = list(_inside(settings, clock, immutable=False))  # a program started meanwhile
    yield from findings
    yield _log_size(log)


def _inside(settings: Settings, clock: Clock, immutable: bool) -> Iterator[Finding]:
    path = settings.database_path
    try:
        with verify.readonly(path, immutable=immutable) as connection:
            complaint = verify.schema_complaint(verify.schema_version(connection))
            if complaint:
                yield problem("schema", f"{path}: {complaint}", "see docs/backup.md")
                return
            yield _integrity(connection)
            yield ok("schema", f"version {verify.schema_version(connection)}")
            yield _counters(connection)
            yield from _leases(settings, connection, clock)
    except StoreBusy as error:
        yield warning("database", str(error), "ask again; another program is closing it")
    except (sqlite3.Error, OrpheusError) as error:
        yield _damaged([str(error)])


def has_reset_race(version: Version) -> bool:
    """Whether this SQLite has the WAL-reset race, by its number."""
    if version[:2] in _RACE_PATCHED:
        return version[2] < _RACE_PATCHED[version[:2]]
    return _RACE_FIRST <= version < _RACE_FIXED or version == (3, 52, 0)


def _engine(version: Version) -> Finding:
    try:
        check_engine()
    except ConfigurationError as error:
        return problem("engine", str(error), "use a newer Python")
    text = f"SQLite {'.'.join(map(str, version))}"
    if has_reset_race(version):
        text += (
            " has the WAL-reset race (3.7.0 to 3.51.2); the write gate keeps Orpheus' own "
            "processes out of it: let no other program write to the file or checkpoint it"
        )
    return ok("engine", text)


def _integrity(connection: sqlite3.Connection) -> Finding:
    damage = verify.damage(connection)
    return _damaged(damage) if damage else ok("integrity", "every page and index is right")


def _damaged(complaints: list[str]) -> Finding:
    return problem(
        "integrity",
        "; ".join(complaints),
        "stop Orpheus, keep a copy of the data folder, and `orpheus restore` the last backup",
    )


def _counters(connection: sqlite3.Connection) -> Finding:
    wrong = inspect.wrong_counters(connection)
    if not wrong:
        return ok("counters", "equal a recount")
    first = wrong[0]
    return problem(
        "counters",
        f"{len(wrong)} are wrong; {first.queue} {first.type} {first.state} says {first.counted}, "
        f"there are {first.there}",
        "report it: it is a defect of Orpheus, or somebody else wrote into its tables",
    )


def _leases(settings: Settings, connection: sqlite3.Connection, clock: Clock) -> Iterator[Finding]:
    total = orphaned = 0
    for leases in inspect.open_leases(connection):
        total += leases.attempts
        if not _is_orphaned(settings, leases, clock):
            continue
        orphaned += leases.attempts
        lock = settings.locks_dir / f"pool-{leases.pool}.lock"
        running = lock.exists() and not is_free(lock)
        yield warning(
            "leases",
            f"{leases.attempts} attempts of {leases.worker} are open, and it is gone",
            "its pool takes them back by itself; ask again in a minute"
            if running
            else f"start pool {leases.pool}, or any other: one takes them back",
        )
    if not orphaned:
        yield ok("leases", f"{total} attempts are open, all of workers that live")


def _is_orphaned(settings: Settings, leases: inspect.Leases, clock: Clock) -> bool:
    if leases.ended or leases.boot_id != clock.boot_id:
        return True
    if start_time(leases.pid) == leases.start_time:
        return False
    # In another container its pid means nothing here, but its lock does.
    lock = worker_lock(settings.locks_dir, leases.worker_id)
    return not lock.exists() or is_free(lock)


def _log_size(log: Path) -> Finding:
    size = log.stat().st_size if log.exists() else 0
    says = f"{size / (1 << 20):.1f} MiB"
    if size > _LARGE_LOG:
        return warning(
            "write-ahead log",
            says,
            "a reader keeps it from starting anew: a backup, an open sqlite3 shell, Litestream",
        )
    return ok("write-ahead log", says)

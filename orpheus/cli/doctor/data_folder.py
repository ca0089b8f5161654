"""The ground the database stands on: folder, permissions, kind of file system, free space."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from orpheus.cli.doctor.finding import Finding, ok, problem, warning
from orpheus.errors import EXIT_TEMPORARY
from orpheus.settings import Settings

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    (
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "beegfs", "gpfs"),
        *("vboxsf", "vmhgfs", "prl_fs"),
    )
)
_MEMORY = frozenset(("tmpfs", "ramfs"))
_FREE_FLOOR = 64 << 20
_FREE_LITTLE = 256 << 20
_ESCAPES = ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\"))


def check(settings: Settings) -> Iterator[Finding]:
    """The findings; only the first where there is no folder yet."""
    folder = settings.data_dir
    if not folder.is_dir():
        yield warning(
            "data folder",
            f"{folder} does not exist",
            "start Orpheus once, or set ORPHEUS_DATA_DIR to the folder you mean",
        )
        return
    yield from _permissions(settings)
    yield _file_system(folder, _read_mounts())
    yield _disk(settings)


def file_system_of(path: Path, mounts: Iterable[str]) -> str:
    """The kind of file system `path` is on, by the lines of a mount table; "" if unknown."""
    best, kind = "", ""
    for line in mounts:
        before, _, after = line.partition(" - ")
        fields, type_ = before.split(" "), after.split(" ")[0]
        if len(fields) < 5 or not type_:
            continue
        point = fields[4]
        for escape, character in _ESCAPES:
            point = point.replace(escape, character)
        # The last of equal ones is mounted over the others.
        if path.is_relative_to(point) and len(point) >= len(best):
            best, kind = point, type_
    return kind


def _permissions(settings: Settings) -> Iterator[Finding]:
    folder = settings.data_dir
    name = "data folder"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield problem(
            name,
            f"{folder} is not writable for the user who asks (uid {os.geteuid()})",
            "run this as the user Orpheus runs as, or make the folder that user's",
        )
        return
    owner = folder.stat().st_uid
    beside = [settings.database_path.with_name(f"orpheus.db{end}") for end in ("", "-wal", "-shm")]
    watched = [path for path in (folder, *beside, settings.gate_path) if path.exists()]
    for path in watched:
        status = path.stat()
        if status.st_uid != owner:
            yield problem(
                name,
                f"{path} belongs to uid {status.st_uid}, the folder to {owner}",
                f"chown {owner} {path}",
            )
        elif status.st_mode & 0o077:
            yield warning(
                name, f"others may read or write {path}", f"chmod go= {path}: payloads are in it"
            )
    yield ok(name, f"{folder}, of uid {owner}")


def _file_system(folder: Path, mounts: list[str]) -> Finding:
    name = "file system"
    kind = file_system_of(folder.resolve(), mounts)
    if kind in _NETWORK or kind.startswith("fuse"):
        return warning(
            name,
            f"{kind}: SQLite's log and locks need a local disk",
            "move the data folder to a local disk; two machines on it would corrupt the database",
        )
    if kind == "overlay":
        return warning(
            name,
            "overlay: the data are lost with the container",
            "mount a volume of a local disk at the data folder",
        )
    if kind in _MEMORY:
        return warning(
            name,
            f"{kind}: the data are lost when the machine stops",
            "put the data folder on a disk",
        )
    return ok(name, kind or "unknown")


def _disk(settings: Settings) -> Finding:
    name = "disk"
    usage = shutil.disk_usage(settings.data_dir)
    says = f"{usage.free >> 20} MiB free of {usage.total >> 20}"
    if usage.free < _FREE_FLOOR:
        return problem(name, says, "make room now: nothing more can be accepted", EXIT_TEMPORARY)
    if usage.free < _FREE_LITTLE:
        return warning(name, says, "make room soon")
    return ok(name, says)


def _read_mounts() -> list[str]:
    try:
        return _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []

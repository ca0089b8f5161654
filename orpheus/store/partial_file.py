"""A file in the making: nobody sees it under its name before it is whole and on the disk.

Used by backup and restore. A lock says that its maker lives, so what a kill leaves behind is
removed by the next one who makes a file in that folder, and nobody else's is.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_PREFIX = ".orpheus-"
_SUFFIX = ".partial"


@dataclass(slots=True)
class PartialFile:
    """An empty file to be filled, readable by its owner only, and not yet under its name."""

    path: Path
    descriptor: int

    def publish(self, target: Path) -> None:
        """Make it durable, then give it its name; whatever had that name is replaced at once."""
        os.fsync(self.descriptor)
        os.replace(self.path, target)
        sync_folder(target.parent)


@contextmanager
def partial_file(folder: Path) -> Iterator[PartialFile]:
    """A partial file in `folder`; removed at the end unless it was published."""
    _remove_abandoned(folder)
    partial = _create(folder)
    try:
        yield partial
    finally:
        if _is_ours(partial):
            partial.path.unlink()
        # Last: SQLite's locks on the file go with the first descriptor that is closed.
        os.close(partial.descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(folder: Path) -> PartialFile:
    while True:
        descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=folder)
        partial = PartialFile(Path(name), descriptor)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if _is_ours(partial):
            return partial
        # Taken for abandoned in the moment before it was locked.
        os.close(descriptor)


def _is_ours(partial: PartialFile) -> bool:
    try:
        return os.path.samestat(os.fstat(partial.descriptor), os.lstat(partial.path))
    except FileNotFoundError:
        return False


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob(f"{_PREFIX}*{_SUFFIX}"):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            continue  # its maker lives, or it is not ours to remove
        finally:
            os.close(descriptor)

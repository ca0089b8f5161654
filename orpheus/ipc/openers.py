"""Who has a database file open: what restore refuses for and doctor shows.

Opens the file itself, and closing it would drop SQLite's locks of this process: only for a process
that has no connection to it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

# SQLite's shared lock: every connection in WAL mode keeps one on these bytes until it is closed.
_SHARED = (0x40000000 + 2, 510)
# Its write lock, on the file of the shared memory.
_WRITER = (120, 1)
_FLOCK = struct.Struct("hhqqi4x" if sys.maxsize > 2**32 else "hhiii")


def is_open_elsewhere(path: Path) -> bool:
    """Whether another process, of whatever user or container, has a connection to the database."""
    return _locker(path, *_SHARED) is not None


def writer_now(path: Path) -> int | None:
    """The pid of another process inside a write transaction at this moment; 0 if it is unknown."""
    return _locker(path.with_name(path.name + "-shm"), *_WRITER)


def openers(path: Path) -> list[int]:
    """The pids of other processes that have the file open, as far as we may look into them."""
    try:
        wanted = os.stat(path)
    except OSError:
        return []
    names = os.listdir("/proc") if sys.platform == "linux" else []
    pids = sorted(int(name) for name in names if name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _has_open(pid, wanted)]


def command_of(pid: int) -> str:
    """The command line of a process, shortened; "" where it cannot be read."""
    try:
        data = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return data.replace(b"\0", b" ").decode("utf-8", "replace").strip()[:120]


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    folder = f"/proc/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    for name in names:
        try:
            if os.path.samestat(os.stat(f"{folder}/{name}"), wanted):
                return True
        except OSError:
            continue
    return False


def _locker(path: Path, first: int, size: int) -> int | None:
    """Who has a lock in the way of an exclusive one on these bytes; looks, and takes none."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if sys.platform != "linux":
            return _tried(descriptor, first, size)
        question = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, first, size, 0)
        kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_GETLK, question))
        return None if kind == fcntl.F_UNLCK else max(pid, 0)
    finally:
        os.close(descriptor)


def _tried(descriptor: int, first: int, size: int) -> int | None:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, size, first, os.SEEK_SET)
    except OSError:
        return 0
    return None

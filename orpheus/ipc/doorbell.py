"""Doorbells: named pipes that say "look now".

A hint may be lost and costs latency then, never correctness (law 7): who listens also wakes by
itself. Ringing never waits and never fails; FIFOs, because a socket's path may be too long.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from orpheus.ipc.process import keep_in_forks

_RING = b"!"
# More than a FIFO holds, so that one read empties it.
_EVERYTHING = 1 << 17


def worker_bell(run_dir: Path, pool: str, slot: int) -> Path:
    """Rung when there may be work for, or something to tell, the worker in a slot."""
    return run_dir / "bells" / f"work-{pool}-{slot}.fifo"


def maintenance_bell(run_dir: Path, pool: str) -> Path:
    """Rung when a worker of the pool died."""
    return run_dir / "bells" / f"maint-{pool}.fifo"


def feed_bell(run_dir: Path, pid: int) -> Path:
    """Rung when events were committed."""
    return run_dir / "bells" / f"feed-{pid}.fifo"


class Doorbell:
    """The listener's end; readable, for select and loops, when someone rang."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            if not stat.S_ISFIFO(path.stat().st_mode):
                raise
        # Open for writing too: with no writer at all, a FIFO would be readable for ever.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        return self._descriptor

    def drain(self) -> bool:
        """Take in all rings so far; True if there were any."""
        try:
            return bool(os.read(self._descriptor, _EVERYTHING))
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Stop listening and remove the pipe."""
        keep_in_forks(self._descriptor)
        os.close(self._descriptor)
        self.path.unlink(missing_ok=True)


def ring(path: Path) -> None:
    """Ring one bell, if anyone listens."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return
    try:
        os.write(descriptor, _RING)
    except OSError:
        pass  # full of rings already
    finally:
        os.close(descriptor)


def ring_all(directory: Path, prefix: str | tuple[str, ...] = "") -> None:
    """Ring every bell in `directory` whose name starts with `prefix`, or one of several."""
    try:
        names = [name for name in os.listdir(directory) if name.startswith(prefix)]
    except OSError:
        return
    for name in names:
        ring(directory / name)


def remove_silent(directory: Path, prefix: str) -> None:
    """Remove the bells nobody listens to, left by processes that were killed."""
    try:
        paths = [path for path in directory.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return
    for path in paths:
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            if error.errno == errno.ENXIO:
                path.unlink(missing_ok=True)

"""Doorbells: named pipes that say "look now".

A hint may be lost and costs latency then, never correctness (law 7): who listens also wakes by
itself. Ringing never waits and never fails; FIFOs, because a socket's path may be too long.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Iterable
from pathlib import Path

from orpheus.clock import SECOND_NS, Clock
from orpheus.ipc.process import close_in_forks, keep_in_forks

_RING = b"!"
# More than a FIFO holds, so that one read empties it.
_EVERYTHING = 1 << 17


# The time stamp of a folder moves in steps of the kernel's tick: a change within one step of the
# last look would not show.
_TICK_NS = SECOND_NS // 50


def jobs_bell(run_dir: Path) -> Path:
    """Rung when a job may be claimable. All idle workers listen; a ring wakes one of them."""
    return run_dir / "bells" / "jobs.fifo"


def worker_bell(run_dir: Path, pool: str, slot: int) -> Path:
    """Rung when there is something to tell the worker in a slot."""
    return run_dir / "bells" / f"work-{pool}-{slot}.fifo"


def maintenance_bell(run_dir: Path, pool: str) -> Path:
    """Rung when a worker of the pool died."""
    return run_dir / "bells" / f"maint-{pool}.fifo"


def feed_bell(run_dir: Path, pid: int) -> Path:
    """Rung when events were committed."""
    return run_dir / "bells" / f"feed-{pid}.fifo"


class Doorbell:
    """The listener's end; readable, for select and loops, when someone rang.

    A `shared` one has several listeners and stays where it is when one of them leaves.
    """

    def __init__(self, path: Path, shared: bool = False) -> None:
        self.path = path
        self._shared = shared
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
        if self._descriptor < 0:
            return
        keep_in_forks(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        if not self._shared:
            self.path.unlink(missing_ok=True)


class Sleeper:
    """Waits for several descriptors, of which `shared` ones wake one waiting process each.

    With select() all who wait for a pipe wake for one byte in it: with eight idle workers one job
    cost eight wake-ups, seven of them for nothing. Where there is no epoll it still does.
    """

    def __init__(self, own: Iterable[int], shared: Iterable[int]) -> None:
        self._all = [*own, *shared]
        self._epoll: select.epoll | None = None
        if hasattr(select, "epoll"):
            self._epoll = select.epoll()
            close_in_forks(self._epoll.fileno())
            for descriptor in own:
                self._epoll.register(descriptor, select.EPOLLIN)
            for descriptor in shared:
                self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLEXCLUSIVE)

    def wait(self, seconds: float) -> list[int]:
        """The descriptors that are readable, or closed at the other end, within `seconds`."""
        if self._epoll is None:
            return select.select(self._all, [], [], seconds)[0]
        return [descriptor for descriptor, _ in self._epoll.poll(seconds)]

    def close(self) -> None:
        """Wait no more."""
        if self._epoll is not None:
            keep_in_forks(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None


class Ringer:
    """Rings bells of a folder for as long as a process lives, and keeps them open meanwhile.

    A ring is then a look at the folder's time stamp and one write; opening each bell each time
    cost more than a claim.
    """

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._seen = 0
        self._bells: dict[str, int] = {}

    def ring(self, prefix: str) -> None:
        """Ring every bell whose name starts with `prefix`."""
        self._look()
        for name, descriptor in self._bells.items():
            if not name.startswith(prefix):
                continue
            if descriptor < 0:
                # Nobody listened when we looked; an old pipe may have a new listener since.
                ring(self._directory / name)
                continue
            try:
                os.write(descriptor, _RING)
            except OSError:
                pass  # full of rings already, or nobody listens now

    def close(self) -> None:
        """Let go of all bells."""
        for descriptor in self._bells.values():
            if descriptor >= 0:
                keep_in_forks(descriptor)
                os.close(descriptor)
        self._bells = {}
        self._seen = 0

    def _look(self) -> None:
        try:
            changed = os.stat(self._directory).st_mtime_ns
            if changed == self._seen:
                return
            self.close()
            for name in os.listdir(self._directory):
                self._bells[name] = _open(self._directory / name)
        except OSError:
            return
        if self._clock.now() * 1000 - changed > _TICK_NS:
            self._seen = changed


def _open(path: Path) -> int:
    """The ringer's end, below 0 where nobody listens."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return -1
    close_in_forks(descriptor)
    return descriptor


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


def ring_all(directory: Path, prefix: str = "") -> None:
    """Ring every bell in `directory` whose name starts with `prefix`."""
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

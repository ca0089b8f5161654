"""What jobs leave behind for the judge: a count of runs and the moments at which they started.

Each process has a file of its own, mapped, so that counting costs a job well under a microsecond
and is the same for every queue. Monotonic time is one clock for all processes of a machine.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path

FOLDER = "BENCH_MARKS"
_COUNT = struct.Struct("<q")
_STAMP = struct.Struct("<qq")


class _Counter:
    def __init__(self) -> None:
        self.pid = 0
        self.count = 0
        self.map: mmap.mmap | None = None

    def add(self) -> None:
        if self.pid != os.getpid():
            self._open()
        self.count += 1
        assert self.map is not None
        _COUNT.pack_into(self.map, 0, self.count)

    def _open(self) -> None:
        self.pid = os.getpid()
        self.count = 0
        path = Path(os.environ[FOLDER]) / f"count-{self.pid}"
        path.write_bytes(bytes(_COUNT.size))
        with path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), _COUNT.size)


_counter = _Counter()


def count() -> None:
    """A job has run."""
    _counter.add()


def stamp(sent: int) -> None:
    """The job submitted at `sent` (monotonic nanoseconds) starts now."""
    data = _STAMP.pack(sent, time.monotonic_ns())
    path = Path(os.environ[FOLDER]) / "stamps"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)


class Marks:
    """The judge's side: reads what the jobs left in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def counted(self) -> int:
        """Jobs that have run."""
        total = 0
        for name in os.listdir(self.folder):
            if name.startswith("count-"):
                data = (self.folder / name).read_bytes()
                total += _COUNT.unpack(data)[0] if len(data) == _COUNT.size else 0
        return total

    def waits(self, skip: int = 0) -> list[float]:
        """Milliseconds from submit to start of the stamped jobs, without the first `skip`."""
        path = self.folder / "stamps"
        if not path.exists():
            return []
        data = path.read_bytes()
        whole = len(data) - len(data) % _STAMP.size
        pairs = sorted(_STAMP.iter_unpack(data[:whole]))
        return [(start - sent) / 1e6 for sent, start in pairs[skip:]]

    def clear(self) -> None:
        """Forget the stamps; counts stay, as they only rise."""
        (self.folder / "stamps").unlink(missing_ok=True)


def drain_rate(marks: Marks, jobs: int, timeout: float) -> float:
    """Jobs a second of workers that begin on a full queue.

    The clock runs from the moment at which a twentieth has run, so that starting processes is no
    part of it, to the last one; the same for every queue.
    """
    before = marks.counted()
    deadline = time.monotonic() + timeout
    first = begun = 0.0
    while True:
        now = time.monotonic()
        ran = marks.counted() - before
        if not begun and ran >= max(1, jobs // 20):
            first, begun = ran, now
        if ran >= jobs:
            if ran <= first:
                raise RuntimeError(f"{jobs} jobs are too few to time")
            return (ran - first) / (now - begun)
        if now > deadline:
            raise RuntimeError(f"only {ran} of {jobs} jobs ran within {timeout:g} s")
        time.sleep(0.002)

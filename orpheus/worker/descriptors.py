"""The worker's own descriptors, and whether user code closed one of them.

What a job closed, the system gives to the next file somebody opens: SQLite would write into that.
So a worker that lost one must not write any more. Made by `worker.main`, asked by `hygiene`.
"""

from __future__ import annotations

import os
import select
import stat
from collections.abc import Iterable

_LISTS = ("/proc/self/fd", "/dev/fd")


def open_descriptors() -> set[int]:
    """All open descriptors of this process."""
    folder = next(path for path in _LISTS if os.path.isdir(path))
    found = set()
    for name in os.listdir(folder):
        try:
            os.fstat(int(name))
        except OSError:
            continue  # the one the list was read through
        found.add(int(name))
    return found


class Descriptors:
    """Those that must stay open, and stay what they are."""

    def __init__(self, numbers: Iterable[int]) -> None:
        self._files = {number: _file(number) for number in numbers}
        # The database, its log, the gate, the locks: a write to something else would be lost.
        self._vital = {
            number: file
            for number, file in self._files.items()
            if stat.S_ISREG(os.fstat(number).st_mode)
        }
        self._poll = select.poll()
        for number in self._files:
            # Nothing is waited for; what is closed is reported all the same.
            self._poll.register(number, 0)

    def sound(self) -> bool:
        """Whether none is closed and those that are written to are what they were: the short look.

        One system call, and one for each regular file.
        """
        closed = any(event & select.POLLNVAL for _, event in self._poll.poll(0))
        return not closed and _same(self._vital)

    def intact(self) -> bool:
        """Whether each is still the file it was."""
        return _same(self._files)


def _same(files: dict[int, tuple[int, int]]) -> bool:
    try:
        return all(_file(number) == file for number, file in files.items())
    except OSError:
        return False


def _file(number: int) -> tuple[int, int]:
    status = os.fstat(number)
    return status.st_dev, status.st_ino

"""When a worker has lived long enough: so many jobs, or so much memory.

Leaks of user code are cured by a new process. Limits vary by a tenth from worker to worker, so
that those of a pool do not all leave at once. Asked by the lane between turns.
"""

from __future__ import annotations

import os
import resource
import sys
from random import Random

from orpheus.clock import SECOND_NS, Clock
from orpheus.log import get_logger
from orpheus.worker.descriptors import open_descriptors

_EVERY_NS = SECOND_NS
_MIB = 1 << 20
_log = get_logger("worker.recycling")


class Recycling:
    """The limits of one worker; 0 is none."""

    def __init__(self, jobs: int, rss_mb: int, clock: Clock, rng: Random) -> None:
        self._clock = clock
        self._jobs = _about(jobs, rng)
        self._rss = _about(rss_mb * _MIB, rng)
        self._next_look = 0
        self._held_at_first = len(open_descriptors())
        # Kept open: a look must not need a descriptor when they have run out.
        self._statm = _open_statm() if self._rss else -1
        if self._rss and (now := self._resident()) >= self._rss:
            # To leave at once, again and again, would do no job at all.
            _log.warning(
                "ORPHEUS_RECYCLE_RSS_MB is below what a new worker needs; ignored",
                rss_mb=now // _MIB,
                limit_mb=rss_mb,
            )
            self._rss = 0

    def remaining(self, finished: int) -> int:
        """How many more jobs a worker that has run so many may take; at least one."""
        return max(1, self._jobs - finished) if self._jobs else sys.maxsize

    def due(self, finished: int) -> str | None:
        """Why a worker that has run so many jobs should leave now; None if it should not."""
        if self._jobs and finished >= self._jobs:
            return f"{finished} jobs"
        now = self._clock.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + _EVERY_NS
        if self._rss and (resident := self._resident()) >= self._rss:
            return f"{resident // _MIB} MB of memory"
        return self._leaked_files()

    def _leaked_files(self) -> str | None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if most == resource.RLIM_INFINITY:
            return None
        try:
            held = len(open_descriptors())
        except OSError:
            return f"{most} open files, which is all it may have"
        if (held - self._held_at_first) * 2 > most - self._held_at_first:
            return f"{held} open files of at most {most}"
        return None

    def _resident(self) -> int:
        if self._statm < 0:
            return 0
        pages = os.pread(self._statm, 128, 0).split()
        return int(pages[1]) * resource.getpagesize()


def _about(limit: int, rng: Random) -> int:
    return max(1, round(limit * rng.uniform(0.9, 1.1))) if limit else 0


def _open_statm() -> int:
    try:
        return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1  # not Linux: what is resident now cannot be asked

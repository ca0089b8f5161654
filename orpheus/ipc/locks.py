"""File locks: one that says "I am alive", and the fair gate every write passes.

Both are `flock`s, which the kernel frees when the last process that inherited the open file is
gone. Descriptors are therefore opened by the process that uses them and given up by closing;
`LOCK_UN` would also release the copies others inherited. Only the gate, which is never
inherited, uses it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import struct
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from orpheus.clock import Clock, SystemClock
from orpheus.errors import StoreFailed, StoreFull
from orpheus.ipc.process import close_in_forks, keep_in_forks, start_time

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC


class FileLock:
    """A lock held for as long as its holder, or a child that inherited it, lives."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    @property
    def descriptor(self) -> int:
        """The open file; for children that must, or must not, inherit the lock."""
        assert self._descriptor is not None
        return self._descriptor

    def acquire(self, timeout: Literal[0] | None = None) -> bool:
        """Take the lock, at once or not at all (0), or however long it takes (None)."""
        while True:
            descriptor = os.open(self.path, _OPEN, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if timeout is None else fcntl.LOCK_NB))
                # A file that was removed while we waited: the lock that counts is on another now.
                if _is_at(descriptor, self.path):
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
                    self._descriptor = descriptor
                    return True
            except BlockingIOError:
                return False
            finally:
                if self._descriptor != descriptor:
                    os.close(descriptor)

    def close(self) -> None:
        """Give it up, unless a child still holds the inherited copy."""
        if self._descriptor is not None:
            keep_in_forks(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def worker_lock(locks_dir: Path, worker_id: int) -> Path:
    """The lock a worker holds for as long as it lives."""
    return locks_dir / f"worker-{worker_id}.lock"


def is_free(path: Path) -> bool:
    """Whether nobody holds the lock at `path`. A file that is missing proves nothing: False."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Shared, so that two who ask at once do not take each other for the holder.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def holder_of(path: Path) -> int | None:
    """The pid its holder wrote into a lock file."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


# --- the gate -------------------------------------------------------------------------------------

ORPHEUS = 1  # a process of ours: may be killed when it stops inside the gate
CLIENT = 2  # a user's own process: only reported

_RECORD = struct.Struct("<qqqq")
_NOBODY = bytes(_RECORD.size)
# Asks the system to repeat the alarm: one that fires just before flock() blocks would be lost.
_ALARM_REPEAT = 0.005


@dataclass(frozen=True, slots=True)
class GateRecord:
    """Who is inside the gate, as that process wrote it down on entering."""

    pid: int
    start_time: int
    entered: int  # monotonic nanoseconds
    kind: int


class _Elapsed(Exception):
    """The alarm rang while waiting for the gate."""


class Turnstile:
    """The write gate: two locks, *turn* then *gate*, the turn given up once the gate is held.

    One lock alone is unfair: who releases it is running and takes it again before the waiters
    wake. With the turn, the next in line already waits at the gate when it opens.
    """

    def __init__(
        self, turn_path: Path, gate_path: Path, kind: int = ORPHEUS, clock: Clock | None = None
    ) -> None:
        self._turn_path = turn_path
        self._gate_path = gate_path
        self._kind = kind
        self._clock = clock or SystemClock()
        self._process = 0
        self._turn = -1
        self._gate = -1
        self._identity = (0, 0)
        self._alarmed = False

    def acquire(self, timeout: float | None = None) -> bool:
        """Enter; False if it was not possible within `timeout` seconds (None: wait for ever).

        A timeout uses the process's alarm clock: only for the main thread of a process that
        runs no user code. Raises StoreFailed when the gate file is no longer the real one.
        """
        self._open()
        entered = False
        try:
            entered = self._wait() if timeout is None else self._wait_alarmed(timeout)
            if entered and os.fstat(self._gate).st_nlink == 0:
                entered = False
                raise StoreFailed(f"{self._gate_path} was removed while Orpheus runs")
        finally:
            if not entered:
                # Interrupted anywhere between two locks: closing is the sure way to hold none.
                self.close()
        if entered:
            self._write(_RECORD.pack(*self._identity, self._clock.monotonic(), self._kind))
        return entered

    def release(self) -> None:
        """Leave."""
        self._write(_NOBODY)
        fcntl.flock(self._gate, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files; the next `acquire` opens them again."""
        for descriptor in (self._turn, self._gate):
            if descriptor >= 0:
                keep_in_forks(descriptor)
                os.close(descriptor)
        self._turn = self._gate = -1
        self._process = 0

    def _open(self) -> None:
        pid = os.getpid()
        if self._process == pid:
            return
        # Descriptors of the process we were forked from would let both in at once.
        self.close()
        self._turn = os.open(self._turn_path, _OPEN, 0o600)
        self._gate = os.open(self._gate_path, _OPEN, 0o600)
        close_in_forks(self._turn)
        close_in_forks(self._gate)
        self._identity = (pid, start_time(pid) or 0)
        self._process = pid

    def _write(self, record: bytes) -> None:
        """Raises StoreFull or StoreFailed, and then is outside.

        Whoever cannot take its record back must end: it seems to stay inside and would be killed.
        """
        try:
            os.pwrite(self._gate, record, 0)
        except OSError as error:
            self.close()
            if error.errno == errno.ENOSPC:
                raise StoreFull("the disk is full; nothing was written") from error
            raise StoreFailed(f"cannot write {self._gate_path}: {error.strerror}") from error

    def _wait(self) -> bool:
        fcntl.flock(self._turn, fcntl.LOCK_EX)
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        return True

    def _wait_alarmed(self, timeout: float) -> bool:
        if self._entered_at_once():
            return True
        previous = signal.signal(signal.SIGALRM, self._ring)
        try:
            self._alarmed = True
            signal.setitimer(signal.ITIMER_REAL, max(timeout, 0.001), _ALARM_REPEAT)
            self._wait()
            self._alarmed = False
        except _Elapsed:
            return False
        finally:
            self._alarmed = False
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        return True

    def _entered_at_once(self) -> bool:
        """Enter where nobody is inside or in line, which needs no alarm; may keep the turn."""
        try:
            fcntl.flock(self._turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(self._gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._turn, fcntl.LOCK_UN)
        return True

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._alarmed:
            # One alarm, one exception: a second would escape from the first one's handling.
            self._alarmed = False
            raise _Elapsed


def read_record(gate_path: Path) -> GateRecord | None:
    """Who is inside the gate now, or was when it died there; None if nobody."""
    try:
        descriptor = os.open(gate_path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = os.pread(descriptor, _RECORD.size, 0)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if len(data) < _RECORD.size or data == _NOBODY:
        return None
    return GateRecord(*_RECORD.unpack(data))

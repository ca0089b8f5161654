"""The master's ears: signals become flags, and one pipe ends its sleep.

A handler only counts; everything that follows from a signal happens in the master's loop.
"""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Iterable
from types import FrameType

_STOP = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """Owns the process's signal handlers and the wake-up pipe."""

    def __init__(self) -> None:
        # How often the operator asked to stop (TERM, INT, HUP); QUIT counts as twice.
        self.stops = 0
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        for number in _STOP:
            signal.signal(number, self._stop)
        # Ignored by nohup on purpose. INT is ignored by every script's `&`, which means nothing.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._stop)
        signal.signal(signal.SIGQUIT, self._quit)
        # A handler, even an empty one, makes Python write to the wake-up pipe.
        signal.signal(signal.SIGCHLD, self._nothing)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    @property
    def descriptors(self) -> tuple[int, int]:
        """For children, which must close them."""
        return self._wake_read, self._wake_write

    def wait(self, seconds: float, also: Iterable[int] = ()) -> set[int]:
        """Sleep until a signal, the time, or input on one of `also`; returns those with input."""
        poll = select.poll()
        poll.register(self._wake_read, select.POLLIN)
        for descriptor in also:
            poll.register(descriptor, select.POLLIN)
        readable = {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
        if self._wake_read in readable:
            readable.remove(self._wake_read)
            os.read(self._wake_read, 4096)
        return readable

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def _quit(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 2

    def _nothing(self, _number: int, _frame: FrameType | None) -> None:
        pass

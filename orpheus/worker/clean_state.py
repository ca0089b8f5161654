"""The state of the process that a job can change and that can be put back.

Taken down once, when the handlers are imported, so what their modules set stays. `hygiene` has it
compared and restored between jobs. Never runs beside user code and never writes to the database.
"""

from __future__ import annotations

import _locale
import decimal
import gc
import locale
import os
import resource
import signal
import socket
import sys
import time
import warnings

# The C functions: those of `signal` make enum members of what they return, 5 µs a time.
from _signal import getsignal, pthread_sigmask  # type: ignore[import-not-found]
from collections.abc import Callable
from typing import Any

from orpheus.worker.traces import Traces

_SIGNALS = tuple(n for n in range(1, 32) if n not in (signal.SIGKILL, signal.SIGSTOP))
_TIMERS = (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF)
_LIMITS = tuple(
    getattr(resource, name) for name in sorted(vars(resource)) if name.startswith("RLIMIT_")
)
_STANDARD = (0, 1, 2)


def _nothing(_number: int, _frame: object) -> None:
    """Instead of the default, which would end the worker for a timer that a job left."""


def quiet_timers() -> None:
    """A timer that outlives its job must not kill the worker during a later one."""
    for number in (signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF):
        if getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _nothing)


class CleanState:
    """The state as it was when this was made."""

    def __init__(self) -> None:
        self.umask = os.umask(0o077)
        os.umask(self.umask)
        self._folder_name = _folder_name()
        self._folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._environment = dict(os.environb)
        self._handlers = [getsignal(number) for number in _SIGNALS]
        self._mask = pthread_sigmask(signal.SIG_BLOCK, ())
        self.streams = (sys.stdin, sys.stdout, sys.stderr)
        # Who was started without one of them has nothing to put back.
        self._standard = [
            (number, os.dup(number), file)
            for number in _STANDARD
            if (file := _file(number)) is not None
        ]
        self._limits = [resource.getrlimit(limit) for limit in _LIMITS]
        self._group = os.getpgrp()
        self._owner = _owner()
        self._niceness = os.getpriority(os.PRIO_PROCESS, 0)
        self._locale = _locale.setlocale(locale.LC_ALL, None)
        self._recursion = sys.getrecursionlimit()
        self._switching = sys.getswitchinterval()
        self._collecting = (gc.isenabled(), gc.get_threshold())
        self._filters = list(warnings.filters)
        self._decimal = decimal.getcontext().copy()
        self._decimal_text = repr(self._decimal)
        self._socket_timeout = socket.getdefaulttimeout()
        self._hooks = (sys.gettrace(), sys.getprofile())
        self._steps: tuple[tuple[str, Callable[[], bool]], ...] = (
            ("working folder", self._restore_folder),
            ("signal handlers", self._restore_handlers),
            ("signal mask", self._restore_mask),
            ("timers", self._restore_timers),
            ("standard streams", self._restore_streams),
            ("standard descriptors", self._restore_standard),
            ("process group", self._restore_group),
            ("priority", self._restore_niceness),
            ("trace functions", self._restore_hooks),
            ("settings of Python", self._restore_interpreter),
            ("locale", self._restore_locale),
            ("decimal context", self._restore_decimal),
        )

    def restore(self, traces: Traces) -> tuple[list[str], list[str]]:
        """Put back what was changed; the names of what was, and of what could not be."""
        restored: list[str] = []
        lost: list[str] = []
        for name, step in self._steps:
            try:
                if step():
                    restored.append(name)
            except Exception:
                lost.append(name)
        if traces.any:
            try:
                if self._restore_environment(traces.variables):
                    restored.append("environment")
                if self._restore_limits():
                    restored.append("resource limits")
            except Exception:
                lost.append("environment or resource limits")
        return restored, lost

    def same_owner(self) -> bool:
        """Whether the process still runs as who it was: that is given up for good."""
        return _owner() == self._owner

    # Each of these answers whether it had something to put back, and raises where it cannot.

    def _restore_folder(self) -> bool:
        if _folder_name() == self._folder_name:
            return False
        os.fchdir(self._folder)
        return True

    def _restore_handlers(self) -> bool:
        if [getsignal(number) for number in _SIGNALS] == self._handlers:
            return False
        for number, handler in zip(_SIGNALS, self._handlers, strict=True):
            if getsignal(number) != handler and handler is not None:
                signal.signal(number, handler)
        return True

    def _restore_mask(self) -> bool:
        if pthread_sigmask(signal.SIG_BLOCK, ()) == self._mask:
            return False
        pthread_sigmask(signal.SIG_SETMASK, self._mask)
        return True

    def _restore_timers(self) -> bool:
        left = [signal.setitimer(timer, 0) for timer in _TIMERS]
        return any(timer != (0.0, 0.0) for timer in left)

    def _restore_streams(self) -> bool:
        streams = (sys.stdin, sys.stdout, sys.stderr)
        if streams == self.streams:
            return False
        sys.stdin, sys.stdout, sys.stderr = self.streams
        return True

    def _restore_standard(self) -> bool:
        changed = False
        for number, kept, file in self._standard:
            if _file(number) != file:
                os.dup2(kept, number, inheritable=True)
                if _file(number) != file:
                    raise OSError("the copy was closed, too")
                changed = True
        return changed

    def _restore_group(self) -> bool:
        if os.getpgrp() == self._group:
            return False
        os.setpgid(0, self._group)
        return True

    def _restore_niceness(self) -> bool:
        if os.getpriority(os.PRIO_PROCESS, 0) == self._niceness:
            return False
        os.setpriority(os.PRIO_PROCESS, 0, self._niceness)
        return True

    def _restore_hooks(self) -> bool:
        trace, profile = self._hooks
        if sys.gettrace() is trace and sys.getprofile() is profile:
            return False
        sys.settrace(trace)
        sys.setprofile(profile)
        return True

    def _restore_interpreter(self) -> bool:
        changed = False
        if sys.getrecursionlimit() != self._recursion:
            sys.setrecursionlimit(self._recursion)
            changed = True
        if sys.getswitchinterval() != self._switching:
            sys.setswitchinterval(self._switching)
            changed = True
        if (gc.isenabled(), gc.get_threshold()) != self._collecting:
            enabled, threshold = self._collecting
            gc.set_threshold(*threshold)
            (gc.enable if enabled else gc.disable)()
            changed = True
        if warnings.filters != self._filters:
            warnings.resetwarnings()
            warnings.filters[:] = self._filters  # type: ignore[index]
            changed = True
        if socket.getdefaulttimeout() != self._socket_timeout:
            socket.setdefaulttimeout(self._socket_timeout)
            changed = True
        return changed

    def _restore_locale(self) -> bool:
        if _locale.setlocale(locale.LC_ALL, None) == self._locale:
            return False
        locale.setlocale(locale.LC_ALL, self._locale)
        return True

    def _restore_decimal(self) -> bool:
        if repr(decimal.getcontext()) == self._decimal_text:
            return False
        decimal.setcontext(self._decimal.copy())
        return True

    def _restore_environment(self, names: set[bytes]) -> bool:
        changed = False
        for name in names:
            before = self._environment.get(name)
            if before is None:
                # Also what `os.putenv` set, which `os.environ` does not know.
                os.environb.pop(name, None)
                os.unsetenv(name)
            else:
                os.environb[name] = before
            changed = True
        if b"TZ" in names:
            time.tzset()
        return changed

    def _restore_limits(self) -> bool:
        changed = False
        for limit, before in zip(_LIMITS, self._limits, strict=True):
            if resource.getrlimit(limit) != before:
                resource.setrlimit(limit, before)
                changed = True
        return changed


def _folder_name() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None  # it was removed


def _owner() -> tuple[int, ...]:
    if hasattr(os, "getresuid"):
        return (*os.getresuid(), *os.getresgid())
    return (os.getuid(), os.geteuid(), os.getgid(), os.getegid())


def _file(descriptor: int) -> Any:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino

"""Processes: how a child begins, how a process is recognised, and how exactly that one is killed.

The master and the API fork through `fork`; whoever must tell a process from a later one with the
same number uses its start time. Never kills by number alone, and never lets a child run past its
first lines without knowing that its parent still lives.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import NoReturn

from orpheus.errors import EXIT_INTERNAL, ForkRefused, ProgramError
from orpheus.log import bind, get_logger

# Tells a worker that the attempt it runs is cancelled or out of time (protocol D). A real-time
# signal, because user code and libraries like USR1 and USR2 for themselves.
SOFT_STOP = signal.SIGRTMIN + 3 if sys.platform == "linux" else signal.SIGUSR2
# Makes a worker say where it is, also from inside a C call.
SHOW_STACK = signal.SIGRTMIN + 4 if sys.platform == "linux" else signal.SIGUSR1

_PR_SET_PDEATHSIG = 1
# Loaded here, once, so that a child needs no import lock and no file to set its death signal.
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
# A signal Python itself ignores at start must stay ignored: a closed pipe is an OSError, not death.
_KEPT_IGNORED = {signal.SIGPIPE, signal.SIGXFSZ}

_one_thread = False
_fork_guards: list[Callable[[], str | None]] = []
_closed_in_forks: set[int] = set()


# --- starting a child -----------------------------------------------------------------------------


def register_fork_guard(check: Callable[[], str | None]) -> None:
    """`check` answers why this process must not fork now, or None."""
    _fork_guards.append(check)


def fork(child_main: Callable[[], int], *, close: Iterable[int] = ()) -> int:
    """Start a child that runs `child_main` and exits with its answer; returns the child's pid.

    `close` names the descriptors of this process the child must not keep. Raises ForkRefused
    when a guard objects or this process has a second thread.
    """
    _refuse_unsafe_fork()
    parent = os.getpid()
    unwanted = tuple(close)
    _flush()
    # Until its first lines are done the child must not run the handlers it inherited.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = os.fork()
        if pid == 0:
            _child(child_main, parent, unwanted)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    _join_own_group(pid)
    return pid


def first_lines(expected_parent: int) -> None:
    """What every child does before anything else (protocol F); it may not return."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # The parent may have died before the line above; then nobody would ever kill this child.
    if os.getppid() != expected_parent:
        os._exit(EXIT_INTERNAL)
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP} - _KEPT_IGNORED:
        signal.signal(number, signal.SIG_DFL)
    # By default they would end the process; whoever wants them installs a handler.
    for ours in (SOFT_STOP, SHOW_STACK):
        signal.signal(ours, signal.SIG_IGN)
    _join_own_group(0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0, inheritable=True)
    os.close(null)
    bind(pid=os.getpid())


def keep_one_thread() -> None:
    """Declare that this process runs handlers and holds a connection, so gets no second thread."""
    global _one_thread
    _one_thread = True


def keeps_one_thread() -> bool:
    """Whether this process, or the one it was forked from, declared that."""
    return _one_thread


def _child(child_main: Callable[[], int], parent: int, unwanted: tuple[int, ...]) -> NoReturn:
    code = EXIT_INTERNAL
    try:
        first_lines(parent)
        for descriptor in unwanted:
            os.close(descriptor)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        code = child_main()
    except ProgramError as error:
        get_logger("ipc.process").error(str(error))
        code = error.exit_code
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else EXIT_INTERNAL
    except BaseException:
        get_logger("ipc.process").exception("a child process failed")
    finally:
        # Never back into the parent's frames, its exit handlers or its buffers.
        try:
            _flush()
        finally:
            os._exit(code)


def _refuse_unsafe_fork() -> None:
    for check in _fork_guards:
        if reason := check():
            raise ForkRefused(f"refusing to fork: {reason}")
    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError:
        threads = threading.active_count()
    if threads > 1:
        raise ForkRefused(f"refusing to fork: this process has {threads} threads")


def _join_own_group(pid: int) -> None:
    """Parent and child both do it, so that the group exists whoever runs first."""
    try:
        os.setpgid(pid, pid)
    except OSError:
        pass  # already dead, or already done


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            pass


# --- a handler's own forks ------------------------------------------------------------------------


def close_in_forks(descriptor: int) -> None:
    """Take `descriptor` away from every child this process forks by itself from now on.

    A job that forks would otherwise keep the worker's locks and pipes alive after the worker.
    """
    _closed_in_forks.add(descriptor)


def keep_in_forks(descriptor: int) -> None:
    """Undo `close_in_forks`; call it before closing, as the number will be given out again."""
    _closed_in_forks.discard(descriptor)


def _close_in_fork() -> None:
    if not _closed_in_forks:
        return
    # Replaced instead of closed: a number set free would be given to a file of the user's, and
    # whoever still holds it here would write into that.
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in _closed_in_forks:
        try:
            os.dup2(null, descriptor, inheritable=False)
        except OSError:
            pass
    os.close(null)
    _closed_in_forks.clear()


os.register_at_fork(after_in_child=_close_in_fork)


# --- recognising a process ------------------------------------------------------------------------


def start_time(pid: int) -> int | None:
    """When `pid` began, in ticks since boot; None if it is gone, 0 where the system cannot say."""
    if sys.platform != "linux":
        return 0
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def is_stopped(pid: int) -> bool:
    """Whether `pid` was stopped, by a signal or a debugger; False where the system cannot say."""
    fields = _stat_fields(pid)
    return fields is not None and fields[0] in "Tt"


def same_pid_namespace(pid: int) -> bool:
    """Whether `pid` counts processes as we do; False when that cannot be told."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
    except OSError:
        return False


def group_members(group: int) -> list[tuple[int, int]]:
    """(pid, start time) of each process in a process group."""
    members = []
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        fields = _stat_fields(int(name)) if name.isdigit() else None
        if fields and int(fields[2]) == group:
            members.append((int(name), int(fields[19])))
    return members


def session_of(pid: int) -> int | None:
    """The session `pid` belongs to; None if it is gone."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may contain anything; None if gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


# --- ending a process -----------------------------------------------------------------------------


def kill_exactly(pid: int, started: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal to `pid` if it is the process that began at `started`; False if it is not.

    The pidfd pins the process: what the start time was compared with is what gets the signal.
    """
    if sys.platform != "linux" or pid <= 0:
        return False
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        if start_time(pid) != started:
            return False
        signal.pidfd_send_signal(handle, number)
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def exit_text(status: int) -> str | None:
    """ "SIGKILL" or "exit 3" for a raw wait status; None for a clean exit."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit {code}" if code else None
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

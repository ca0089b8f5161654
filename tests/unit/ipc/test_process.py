"""How a child begins, and how a process is told from a later one with its number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.errors import ConfigurationError, ForkRefused
from orpheus.ipc import process
from orpheus.ipc.locks import FileLock, is_free
from orpheus.ipc.process import (
    SOFT_STOP,
    close_in_forks,
    exit_text,
    first_lines,
    fork,
    group_members,
    keep_in_forks,
    kill_exactly,
    register_fork_guard,
    same_pid_namespace,
    start_time,
)
from tests.support.processes import alive, unharmed
from tests.support.waiting import eventually
from tests.unit.ipc.children import children, exit_code, pause

# --- starting -------------------------------------------------------------------------------------


def test_the_answer_of_main_is_the_exit_code() -> None:
    assert exit_code(lambda: 3) == 3


def test_a_failing_main_is_an_internal_error_and_a_program_error_its_own_code() -> None:
    def broken() -> int:
        raise ValueError

    def misconfigured() -> int:
        raise ConfigurationError("no such module")

    assert exit_code(broken) == 70
    assert exit_code(misconfigured) == 78
    assert exit_code(lambda: sys.exit(5)) == 5


def test_a_child_never_runs_its_parents_exit_code() -> None:
    script = (
        "import atexit, os, sys\n"
        "from orpheus.ipc.process import fork\n"
        "atexit.register(print, 'bye')\n"
        "print('once', end=' ')\n"
        "try:\n"
        "    os.waitpid(fork(lambda: sys.exit(0)), 0)\n"
        "finally:\n"
        "    print('unwound', end=' ')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.split() == ["once", "unwound", "bye"]


def test_a_child_starts_with_default_signals_and_nothing_blocked() -> None:
    def main() -> int:
        caught = [
            number
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD)
            if signal.getsignal(number) is not signal.SIG_DFL
        ]
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        ignored = signal.getsignal(SOFT_STOP) is signal.SIG_IGN
        piped = signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
        return 0 if not caught and not blocked and ignored and piped else 1

    assert exit_code(main) == 0


def test_a_signal_right_after_the_fork_does_not_run_the_parents_handler() -> None:
    """Without the mask, the inherited handler runs in the child before its first line."""
    reader, writer = os.pipe()
    previous = signal.signal(signal.SIGUSR1, lambda *_: os.write(writer, b"!"))
    try:
        for _ in range(20):
            pid = fork(pause)
            os.kill(pid, signal.SIGUSR1)
            assert os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    finally:
        signal.signal(signal.SIGUSR1, previous)
    os.close(writer)
    assert os.read(reader, 10) == b""
    os.close(reader)


def test_a_child_closes_what_is_its_siblings() -> None:
    reader, writer = os.pipe()

    def main() -> int:
        try:
            os.fstat(writer)
        except OSError:
            return 0
        return 1

    assert os.waitpid(fork(main, close=[writer]), 0)[1] == 0
    os.close(reader)
    os.close(writer)


# --- refusing to start ----------------------------------------------------------------------------


@pytest.fixture
def guard() -> Iterator[list[str]]:
    reasons: list[str] = []

    def check() -> str | None:
        return reasons[0] if reasons else None

    register_fork_guard(check)
    yield reasons
    process._fork_guards.remove(check)


def test_a_guard_can_refuse(guard: list[str]) -> None:
    assert exit_code(lambda: 0) == 0
    guard.append("2 connections open")
    with pytest.raises(ForkRefused, match="2 connections open"):
        fork(lambda: 0)


def test_a_process_with_a_second_thread_does_not_fork() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        with pytest.raises(ForkRefused, match="2 threads"):
            fork(lambda: 0)
    finally:
        done.set()
        thread.join()


# --- orphans --------------------------------------------------------------------------------------


def test_no_child_survives_its_parent() -> None:
    """A parent that is killed right after, or while, its child begins leaves none behind."""
    reader, writer = os.pipe()

    def parent() -> int:
        fork(pause, close=[reader])
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    for _ in range(30):
        assert exit_code(parent) == -signal.SIGKILL
    os.close(writer)
    # Each child has the write end: the end of file is the end of the last one.
    os.set_blocking(reader, False)
    eventually(lambda: _at_end(reader))
    os.close(reader)


def test_a_child_whose_parent_died_before_its_first_line_ends() -> None:
    """The window the death signal cannot cover: it is set when there is no parent any more."""
    reader, writer = os.pipe()

    def grandchild(parent: int) -> None:
        while os.getppid() == parent:
            pass
        first_lines(parent)
        os.write(writer, b"lives")

    def parent() -> int:
        me = os.getpid()
        if os.fork() == 0:
            os.close(reader)
            grandchild(me)
            os._exit(0)
        os.kill(me, signal.SIGKILL)
        return 0

    exit_code(parent)
    os.close(writer)
    assert os.read(reader, 10) == b""
    os.close(reader)


def _at_end(reader: int) -> bool:
    try:
        return os.read(reader, 1) == b""
    except BlockingIOError:
        return False


# --- a handler's own forks ------------------------------------------------------------------------


def test_a_jobs_fork_does_not_keep_the_workers_lock(tmp_path: Path) -> None:
    """An inherited copy of the descriptor would hold the lock after the worker is gone."""
    path = tmp_path / "worker.lock"
    reader, writer = os.pipe()

    def worker() -> int:
        lock = FileLock(path)
        lock.acquire()
        close_in_forks(lock.descriptor)
        pid = os.fork()
        if pid == 0:
            # In its own group, or its worker's death would end it.
            os.setpgid(0, 0)
            pause()
        os.write(writer, b"%d\n" % pid)
        return 0

    assert exit_code(worker) == 0
    stray = int(os.read(reader, 20))
    try:
        eventually(lambda: is_free(path))
        assert alive(stray)
    finally:
        os.kill(stray, signal.SIGKILL)
        os.close(reader)
        os.close(writer)


def test_the_number_of_a_closed_descriptor_is_not_given_to_a_file_of_the_fork(
    tmp_path: Path,
) -> None:
    """Whoever still writes to it in the fork must not write into something else."""

    def worker() -> int:
        output = os.open(tmp_path / "output", os.O_WRONLY | os.O_CREAT)
        close_in_forks(output)
        pid = os.fork()
        if pid == 0:
            own = os.open(tmp_path / "own", os.O_WRONLY | os.O_CREAT)
            os.write(output, b"lost")
            os._exit(0 if own != output else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert exit_code(worker) == 0
    assert (tmp_path / "own").read_bytes() == (tmp_path / "output").read_bytes() == b""


def test_what_was_closed_is_forgotten(tmp_path: Path) -> None:
    def worker() -> int:
        first = os.open(tmp_path / "first", os.O_WRONLY | os.O_CREAT)
        close_in_forks(first)
        keep_in_forks(first)
        os.close(first)
        second = os.open(tmp_path / "second", os.O_WRONLY | os.O_CREAT)
        pid = os.fork()
        if pid == 0:
            os._exit(0 if second == first and os.write(second, b"kept") == 4 else 1)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    assert exit_code(worker) == 0
    assert (tmp_path / "second").read_bytes() == b"kept"


# --- recognising and ending -----------------------------------------------------------------------


def test_start_time_survives_odd_names_and_ends_with_the_process() -> None:
    with children(_with_an_odd_name) as (pid,):
        began = start_time(pid)
        assert began
        eventually(lambda: ") R 1" in Path(f"/proc/{pid}/comm").read_text())
        assert start_time(pid) == began
    assert start_time(pid) is None


def _with_an_odd_name() -> int:
    Path("/proc/self/comm").write_text("a) R 1 (b")
    return pause()


def test_kill_exactly_spares_another_process_with_that_number() -> None:
    with children(pause) as (pid,):
        began = start_time(pid)
        assert began
        assert not kill_exactly(pid, began + 1)
        assert unharmed(pid)
        assert kill_exactly(pid, began)
        eventually(lambda: not alive(pid))
    assert not kill_exactly(pid, began)
    assert not kill_exactly(0, 0)


def test_group_members_are_found_with_their_start_times() -> None:
    def leader() -> int:
        os.fork()
        return pause()

    with children(leader) as (pid,):
        eventually(lambda: len(group_members(pid)) == 2)
        members = group_members(pid)
        assert (pid, start_time(pid)) in members
        for member, began in members:
            assert kill_exactly(member, began)


def test_same_pid_namespace() -> None:
    assert same_pid_namespace(os.getpid())
    with children(lambda: 0) as (pid,):
        pass
    assert not same_pid_namespace(pid)


def test_exit_text() -> None:
    assert exit_text(0) is None
    assert exit_text(3 << 8) == "exit 3"
    assert exit_text(signal.SIGKILL) == "SIGKILL"
    assert exit_text(SOFT_STOP) == f"signal {int(SOFT_STOP)}"

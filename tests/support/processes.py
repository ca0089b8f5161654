"""Looking at processes by pid, as an operator would."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from orpheus.ipc.process import group_members, kill_exactly, start_time
from tests.support.waiting import never


def state_of(pid: int) -> str | None:
    """The letter `ps` shows: R, S, T, Z …; None if there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return None


def alive(pid: int) -> bool:
    """Whether `pid` runs or sleeps; a zombie does not."""
    return state_of(pid) not in (None, "Z", "X")


def unharmed(pid: int, during: float = 0.1) -> bool:
    """Whether `pid` goes on living: a signal needs a moment to end a process."""
    never(lambda: not alive(pid), during)
    return True


def stopped(pid: int) -> bool:
    """Whether `pid` is stopped by a signal."""
    return state_of(pid) in ("T", "t")


def children_of(parent: int) -> list[int]:
    """The direct children of `parent` that are no zombies."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] not in "ZX":
            found.append(int(name))
    return found


def threads_of(pid: int) -> int:
    """How many threads `pid` has."""
    return len(os.listdir(f"/proc/{pid}/task"))


def end_groups(pids: Iterable[int]) -> None:
    """Kill what is left of the process groups that processes of ours lead or led."""
    for group in pids:
        for pid, started in group_members(group):
            kill_exactly(pid, started, signal.SIGKILL)


def identity(pid: int) -> tuple[int, int]:
    """(pid, start time), which no later process shares."""
    started = start_time(pid)
    assert started is not None, f"no process {pid}"
    return pid, started

"""What earlier runs of this pool left behind: subprocesses their jobs had started.

Workers die with their master; a program that a job started does not. Whoever calls this holds
the pool's lock, so no worker of an earlier run lives, and what is in a worker's process group is
such a leftover.
"""

from __future__ import annotations

from orpheus.ipc.process import group_members, kill_exactly, session_of
from orpheus.ipc.scoreboard import FREE, Scoreboard, boards_of
from orpheus.log import get_logger
from orpheus.pool.spec import PoolSpec

# A group that forks while we kill needs another round.
_ROUNDS = 10

_log = get_logger("pool.leftovers")


def kill_leftovers(spec: PoolSpec) -> int:
    """Kill them all; how many there were."""
    killed = 0
    for path in boards_of(spec.run_dir, spec.pool):
        board = Scoreboard.open(path)
        try:
            if board.boot_id == spec.clock.boot_id:
                killed += sum(
                    _kill_group(slot.pid, slot.start_time, board.session)
                    for slot in board.slots
                    if slot.state != FREE and slot.pid > 0
                )
        finally:
            board.close()
    if killed:
        _log.warning("killed what jobs of an earlier run had started", processes=killed)
    return killed


def _kill_group(leader: int, started: int, session: int) -> int:
    killed: set[tuple[int, int]] = set()
    for _ in range(_ROUNDS):
        members = group_members(leader)
        if not members or not _is_ours(members, leader, started, session):
            break
        for pid, member_started in members:
            if kill_exactly(pid, member_started):
                killed.add((pid, member_started))
    return len(killed)


def _is_ours(members: list[tuple[int, int]], leader: int, started: int, session: int) -> bool:
    """Whether the group is the worker's, and not one of a later process with the same number."""
    return all(
        (pid != leader or member_started == started)
        and member_started >= started
        and session_of(pid) in (session, None)
        for pid, member_started in members
    )

"""Starting children: the pipes they share with the master, and what each may keep of them."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable

from orpheus.ipc.locks import FileLock
from orpheus.ipc.process import close_in_forks, fork, start_time
from orpheus.ipc.scoreboard import FREE, STARTING, SYNC, Scoreboard, Slot
from orpheus.ipc.seats import MaintenanceSeat, WorkerSeat
from orpheus.pool.children import Child, Role
from orpheus.pool.signals import Signals
from orpheus.pool.spec import PoolSpec

_OUTPUT_BUFFER = 1 << 20


class Spawner:
    """Starts the children of one pool. Descriptors outlive each child: output in flight is kept."""

    def __init__(self, spec: PoolSpec, board: Scoreboard, lock: FileLock, signals: Signals) -> None:
        self._spec = spec
        self._board = board
        self._lock = lock
        self._signals = signals
        self._output_read, self._output_write = os.pipe()
        os.set_blocking(self._output_read, False)
        os.set_blocking(self._output_write, False)
        _enlarge(self._output_write)
        # Nobody ever writes to it: when the master is gone, however it went, readers see its end.
        self._lifeline_read, self._lifeline_write = os.pipe()

    def prepare(self) -> Child:
        """The child that checks and migrates, before all others."""
        kept = (self._lock.descriptor,)
        unwanted = (*self._shared(), *self._signals.descriptors)
        return self._start(Role.PREPARE, self._spec.prepare, kept, unwanted)

    def maintenance(self, siblings: Iterable[Child]) -> Child:
        seat = MaintenanceSeat(
            self._spec.pool, self._board.path, self._output_read, self._lifeline_read
        )
        kept = (self._lock.descriptor, self._output_read, self._lifeline_read)
        child = self._start(
            Role.MAINTENANCE,
            lambda: self._spec.maintenance(seat),
            kept,
            (self._output_write, *self._of_the_master(siblings)),
        )
        self._board.maintenance_pid = child.pid
        return child

    def worker(self, slot: Slot, siblings: Iterable[Child]) -> Child:
        """A worker in a free slot."""
        ready_read, ready_write = os.pipe()
        stack = _memory_file()
        seat = WorkerSeat(
            self._spec.pool,
            slot.index,
            self._board.path,
            self._output_write,
            self._lifeline_read,
            ready_write,
            stack,
        )

        def main() -> int:
            # Both sides write this: neither a fast child nor a slow master leaves a gap.
            _occupy(slot, os.getpid())
            return self._spec.worker(seat)

        # Not the ready pipe: the worker closes it, and its number may become a file of the user's.
        kept = (self._lock.descriptor, self._output_write, self._lifeline_read, stack)
        unwanted = (self._output_read, ready_read, *self._of_the_master(siblings))
        slot.reset()
        slot.lane = SYNC
        slot.state = STARTING
        try:
            child = self._start(Role.WORKER, main, kept, unwanted)
        except BaseException:
            slot.state = FREE
            os.close(ready_read)
            os.close(stack)
            raise
        finally:
            os.close(ready_write)
        _occupy(slot, child.pid)
        child.slot = slot
        child.ready_fd = ready_read
        child.stack_fd = stack
        return child

    def close(self) -> None:
        """Close the master's ends, once all children are gone."""
        for descriptor in self._shared():
            os.close(descriptor)

    def _start(
        self,
        role: Role,
        main: Callable[[], int],
        kept: tuple[int, ...],
        unwanted: tuple[int, ...],
    ) -> Child:
        def child_main() -> int:
            # The lock and the pipes are for this child, not for what a job in it forks.
            for descriptor in kept:
                close_in_forks(descriptor)
            return main()

        # Before it: the child may beat while we wait for a processor.
        since = self._spec.clock.monotonic()
        pid = fork(child_main, close=unwanted)
        return Child(role, pid, start_time(pid) or 0, since)

    def _of_the_master(self, siblings: Iterable[Child]) -> tuple[int, ...]:
        """What belongs to the master alone."""
        theirs = (fd for sibling in siblings for fd in sibling.descriptors())
        return (self._lifeline_write, *self._signals.descriptors, *theirs)

    def _shared(self) -> tuple[int, ...]:
        return (self._output_read, self._output_write, self._lifeline_read, self._lifeline_write)


def _occupy(slot: Slot, pid: int) -> None:
    slot.start_time = start_time(pid) or 0
    slot.pid = pid


def _memory_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("orpheus-stack")
    return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)


def _enlarge(descriptor: int) -> None:
    """A burst of output should fit while maintenance waits for the gate."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _OUTPUT_BUFFER)
    except (AttributeError, OSError):
        pass  # not Linux, or the user's limit of pipe memory is reached

"""A worker process: import the handlers, register, work, leave.

The order matters. Handlers come first, as their import is user code and may take long or fail
(78); then the database; the lock that proves this process alive is held before the first claim.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Mapping
from typing import Literal

from orpheus.clock import SECOND_NS, Clock, SystemClock
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.errors import EXIT_OK
from orpheus.handlers.loader import load_registry
from orpheus.ipc.doorbell import Doorbell, worker_bell
from orpheus.ipc.locks import FileLock, worker_lock
from orpheus.ipc.output import Kind, encode_record, write_record
from orpheus.ipc.process import SHOW_STACK, close_in_forks, keep_one_thread, start_time
from orpheus.ipc.scoreboard import ALIVE, Scoreboard, Slot
from orpheus.ipc.seats import WorkerSeat
from orpheus.log import bind, get_logger
from orpheus.settings import Settings
from orpheus.store import workers
from orpheus.store.claim import WorkerIdentity
from orpheus.store.database import Database
from orpheus.worker.clean_state import CleanState, quiet_timers
from orpheus.worker.current import Current
from orpheus.worker.descriptors import Descriptors, open_descriptors
from orpheus.worker.execute import ContextSupply, execute
from orpheus.worker.hygiene import Hygiene
from orpheus.worker.prints import Prints, Stream
from orpheus.worker.recycling import Recycling
from orpheus.worker.soft_stop import SoftStop
from orpheus.worker.sync_lane import SyncLane
from orpheus.worker.traces import Traces

# Coroutine handlers run here too, one at a time, until a lane of their own comes.
_LANES = ("sync", "async")
_log = get_logger("worker.main")


def main(seat: WorkerSeat, settings: Settings) -> int:
    """Work until TERM; the exit code. Raises ProgramError where it cannot go on."""
    bind(role="worker", pool=seat.pool)
    keep_one_thread()
    clock = SystemClock()
    board = Scoreboard.open(seat.board_path)
    slot = board.slots[seat.slot_index]
    current, output = Current(), _Output(slot, seat.output_fd)
    printed = (
        Prints("stdout", sys.stdout, current, output, clock),
        Prints("stderr", sys.stderr, current, output, clock),
    )
    sys.stdout, sys.stderr = printed
    held = open_descriptors()
    # Before the master kills for an import or an attempt that hangs, it asks where.
    faulthandler.register(SHOW_STACK, file=seat.stack_fd)
    registry = load_registry(settings)
    users = open_descriptors() - held
    database = Database(settings, clock)
    worker = _register(database, seat.pool, clock.boot_id, settings)
    lock = FileLock(worker_lock(settings.locks_dir, worker.id))
    lock.acquire()
    bell = Doorbell(worker_bell(settings.run_dir, seat.pool, seat.slot_index))
    for descriptor in (lock.descriptor, seat.output_fd, seat.lifeline_fd, bell.fileno()):
        close_in_forks(descriptor)

    stop = SoftStop(slot)
    supply = ContextSupply(slot, stop, output)

    def run_attempt(claim: Claim) -> FinishedAttempt:
        job_type = registry.get(claim.type)
        if job_type is None:
            return _unknown_type(claim, clock)
        current.claim = claim
        finished = execute(claim, job_type, supply, clock)
        for stream in printed:
            if stream.pending:
                stream.end()
        return finished

    lane = SyncLane(
        worker, slot, database, bell, seat.lifeline_fd, stop, settings, clock, run_attempt
    )
    signal.signal(signal.SIGTERM, lambda *_: lane.request_stop())
    signal.signal(signal.SIGINT, lambda *_: lane.request_stop())
    stop.install()
    slot.worker_id = worker.id
    slot.state = ALIVE
    os.write(seat.ready_fd, b"!")
    os.close(seat.ready_fd)
    bind(worker=worker.name)
    _log.info("worker ready", types=len(registry))
    if board.draining:
        lane.stopping = True
    path = settings.database_path
    traces = Traces(slot, (path, path.with_name(f"{path.name}-shm")))
    # Taken down last: everything of the worker's own is open by now, and set as it will stay.
    quiet_timers()
    recycling = Recycling(settings.recycle_jobs, settings.recycle_rss_mb, clock, lane.rng)
    state = CleanState()
    own = Descriptors(open_descriptors() - users)
    lane.housekeeping = Hygiene(clock, current, traces, state, own, recycling)
    traces.install()
    # What lives as long as the process is not searched for garbage again and again.
    gc.freeze()
    lane.run()
    if lane.left_at_once:
        return EXIT_OK
    lane.close()
    database.close()
    bell.close()
    lock.close()
    return EXIT_OK


def _register(database: Database, pool: str, boot_id: str, settings: Settings) -> WorkerIdentity:
    pid = os.getpid()
    with database.write() as tx:
        id_, name = workers.register(tx, pool, pid, start_time(pid) or 0, boot_id, "sync")
    lease = int(settings.lease_seconds * SECOND_NS)
    return WorkerIdentity(id_, name, pid, boot_id, _LANES, lease)


def _unknown_type(claim: Claim, clock: Clock) -> FinishedAttempt:
    """Transient: the handler may come with the next deployment of this pool."""
    message = (
        f"this worker has no handler for the type {claim.type!r}; "
        "add its module to `handlers` and restart the workers"
    )
    error = AttemptError("UnknownType", message, Outcome.FAILED)
    now = clock.now()
    return FinishedAttempt(claim.attempt_id, Outcome.FAILED, now, now, error=error)


class _Output:
    """Sends what a job says to maintenance; what does not fit is dropped and counted."""

    def __init__(self, slot: Slot, descriptor: int) -> None:
        self._slot = slot
        self._descriptor = descriptor

    def emit(
        self,
        kind: Literal["log", "progress"],
        claim: Claim,
        at: int,
        level: str,
        message: str,
        fields: Mapping[str, object],
    ) -> None:
        self._send(kind, claim, at, level, message, dict(fields))

    def line(self, stream: Stream, claim: Claim, at: int, message: str) -> None:
        self._send(stream, claim, at, "info", message, {})

    def _send(
        self,
        kind: Kind,
        claim: Claim,
        at: int,
        level: str,
        message: str,
        fields: dict[str, object],
    ) -> None:
        record = encode_record(
            kind, claim.job_id, claim.attempt_id, claim.number, at, level, message, fields
        )
        if not write_record(self._descriptor, record):
            self._slot.dropped_output += 1

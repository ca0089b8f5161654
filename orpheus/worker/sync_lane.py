"""The lane of a sync worker: claim, run one job after the other, settle; one thread.

Owns the worker's side of protocols B (token and revoke word before every start) and C (an
outcome is in the outbox before the next job starts). Started by `worker.main`; never forks.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from orpheus.clock import SECOND_US, Clock
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.errors import StoreBusy
from orpheus.ipc.doorbell import Doorbell, Ringer, Sleeper, jobs_bell, ring
from orpheus.ipc.outbox import Outbox
from orpheus.ipc.process import close_in_forks
from orpheus.ipc.scoreboard import Slot
from orpheus.log import get_logger
from orpheus.settings import Settings
from orpheus.store.admission import CLAIM_FLOOR_BYTES, Disk
from orpheus.store.claim import WorkerIdentity, has_claimable
from orpheus.store.database import Database
from orpheus.store.promote import next_due
from orpheus.store.settle import Batch
from orpheus.store.settle_plain import NotAllOpen
from orpheus.store.turn import Turn, turn
from orpheus.worker.hygiene import Housekeeping, Leave
from orpheus.worker.room import Room
from orpheus.worker.soft_stop import SoftStop

# Hints may be lost (law 7): an idle worker also looks by itself.
_POLL_SECONDS = 2.0
# Idle workers need not all wake for a job that falls due: the first slot does, the others look
# this much later, one after the other, in case it could not.
_STAGGER_SECONDS = 0.001
_STAGGERED_SLOTS = 10
_RETRY_SECONDS = 0.2
_NEVER = 1 << 63
_log = get_logger("worker.sync_lane")


@dataclass(slots=True)
class SyncLane:
    """One worker at work.

    `run_attempt` runs the user's code for one claim and tells how it ended; it never raises.
    `bell` is this worker's own, besides the one for jobs that all listen to; `lifeline` becomes
    readable when the master is gone.
    """

    worker: WorkerIdentity
    slot: Slot
    database: Database
    bell: Doorbell
    lifeline: int
    stop: SoftStop
    settings: Settings
    clock: Clock
    run_attempt: Callable[[Claim], FinishedAttempt]
    rng: Random = field(default_factory=Random)
    room: Room = field(default_factory=Room)
    housekeeping: Housekeeping = field(default_factory=Housekeeping)
    stopping: bool = False
    _finished: list[FinishedAttempt] = field(default_factory=list)
    _started: dict[int, Claim] = field(default_factory=dict)
    _give_back: list[int] = field(default_factory=list)
    _nothing_due_before: int = 0
    _outbox: Outbox = field(init=False)
    _disk: Disk = field(init=False)
    _ringer: Ringer = field(init=False)
    _jobs_bell: Doorbell = field(init=False)
    _sleeper: Sleeper = field(init=False)

    def __post_init__(self) -> None:
        run_dir = self.settings.run_dir
        self._outbox = Outbox(self.slot, self.clock)
        self._disk = Disk(self.settings, self.clock)
        self._ringer = Ringer(run_dir / "bells", self.clock)
        self._jobs_bell = Doorbell(jobs_bell(run_dir), shared=True)
        close_in_forks(self._jobs_bell.fileno())
        own = (self.bell.fileno(), self.lifeline)
        self._sleeper = Sleeper(own, (self._jobs_bell.fileno(),))

    def run(self) -> None:
        """Work until told to stop, or until a job left this process in doubt or worn out."""
        called = False
        while not self._ending():
            # On a disk that is nearly full what is left is for the results of what runs.
            may_claim = self._disk.free() >= CLAIM_FLOOR_BYTES
            # Who was woken for a job is the only one who was, and takes it without a look first.
            if not self._unsettled() and not (may_claim and (called or self._may_claim())):
                called = self._wait()
                continue
            called = False
            most = min(self.room.size, self.housekeeping.remaining(self.slot.finished))
            result = self._turn(most if may_claim else 0)
            if result is not None and result.claims:
                self._work(deque(result.claims))
                self.housekeeping.after_work(self.slot.finished)
        self.slot.stopping = 1
        if self.left_at_once:
            return
        # A call this one took and did not follow is somebody else's now.
        self._ringer.ring("jobs")
        while self._unsettled() and not self._settled_at_last():
            pass

    def close(self) -> None:
        """Stop listening."""
        self._sleeper.close()
        self._jobs_bell.close()
        self._ringer.close()

    def request_stop(self) -> None:
        """Finish the running job, give the rest back, end. Safe in a signal handler."""
        self.stopping = True
        # An idle worker's wait goes on after a signal by itself.
        ring(self.bell.path)

    @property
    def left_at_once(self) -> bool:
        """Whether nothing more may be written: maintenance settles and takes back what is left."""
        return self.housekeeping.leave is Leave.AT_ONCE

    def _ending(self) -> bool:
        return self.stopping or self.stop.raised or self.housekeeping.leave is not Leave.NO

    def _unsettled(self) -> bool:
        return bool(self._finished or self._give_back)

    def _settled_at_last(self) -> bool:
        """Settle with no more claims; False where it has to be tried again."""
        return self._turn(0) is not None

    def _turn(self, room: int) -> Turn | None:
        """One turn; None where the store could not be written and everything is kept."""
        batch = Batch.of(self._finished, self._started)
        try:
            try:
                result = self._write(batch, room)
            except NotAllOpen:
                # Maintenance settled some of them while another job was slow: each is looked up.
                batch = Batch.of(self._finished)
                result = self._write(batch, room)
        except StoreBusy as error:
            _log.warning("cannot settle now; results are kept", error=str(error))
            self._sleeper.wait(_RETRY_SECONDS)
            self.bell.drain()
            return None
        for attempt_id in result.settled.lost:
            _log.warning("lease lost: the result was dropped", attempt_id=attempt_id)
        self._nothing_due_before = 0
        self._finished.clear()
        self._started.clear()
        self._outbox.clear()
        if self._give_back:
            self._give_back.clear()
        # All that was revoked is released now, by us or by maintenance; what comes is new.
        self.slot.revoke_from = 0
        self._ring(result, batch)
        if batch.finished:
            self.database.log.tend()
        return result

    def _write(self, batch: Batch, room: int) -> Turn:
        # A turn that only claims need not survive a power cut: its claimant does not either.
        with self.database.write(synced=bool(batch.finished)) as tx:
            due = self.clock.now() >= self._nothing_due_before
            return turn(tx, self.worker, batch, self._give_back, room, self.rng, due)

    def _ring(self, result: Turn, batch: Batch) -> None:
        if result.more:
            # Whoever is woken does the same: one ring brings in as many as there is work for.
            self._ringer.ring("jobs")
        if result.settled.scheduled:
            # All: whoever is idle when the time of the retry comes must know when that is.
            self._ringer.ring("work-")
        if batch.finished or result.claims or result.promoted:
            self._ringer.ring("feed-")

    def _work(self, claims: deque[Claim]) -> None:
        # Here and not before the turn: nobody waits for its commit then.
        self.housekeeping.between_batches()
        started = self.clock.monotonic()
        ran = 0
        batch = len(claims)
        while claims:
            self.slot.claimed = len(claims)
            claim = claims.popleft()
            if (
                self.stopping
                or self.stop.raised
                or self.housekeeping.leave
                or not self._start(claim)
            ):
                self._give_back.append(claim.attempt_id)
                continue
            self._finish(self.run_attempt(claim))
            ran += 1
            if ran == 1 and claims:
                # Should the next one be slow, this one's result must not wait behind it.
                self._ring_maintenance()
        self.slot.claimed = 0
        if ran == batch:
            self.room.measured(ran, self.clock.monotonic() - started)
        else:
            self.room.size = 1

    def _start(self, claim: Claim) -> bool:
        """Announce the attempt, then look whether it was revoked: in this order (protocol B)."""
        self.slot.token = claim.attempt_id
        revoke_from = self.slot.revoke_from
        if revoke_from and claim.attempt_id >= revoke_from:
            self.slot.token = 0
            return False
        self._started[claim.attempt_id] = claim
        return True

    def _finish(self, finished: FinishedAttempt) -> None:
        self._finished.append(finished)
        fits = self._outbox.append(finished.encode())
        self.slot.finished += 1
        self.slot.token = 0
        self.housekeeping.after_job(finished)
        if fits:
            return
        if self.housekeeping.may_write():
            # Too large to survive our death on the scoreboard: settled before the next job.
            while self._turn(0) is None:
                pass
        else:
            # Without any outcome the job would be run again, with the same end, for ever.
            self._outbox.append(_result_lost(finished).encode())

    def _may_claim(self) -> bool:
        """A look without the gate; what it finds may be gone when the turn comes."""
        # A look at files that were replaced would find nothing for ever.
        self.database.check_files()
        due = next_due(self.database.connection)
        if due is not None and due <= self.clock.now():
            return True
        return has_claimable(self.database.connection, self.worker.lanes)

    def _wait(self) -> bool:
        """Sleep until called for a job (True), a scheduled one is due, or the slow poll."""
        due = next_due(self.database.connection)
        pause = _POLL_SECONDS
        if due is not None:
            turn = min(self.slot.index, _STAGGERED_SLOTS) * _STAGGER_SECONDS
            pause = min(pause, max(0.0, (due - self.clock.now()) / SECOND_US) + turn)
        if self.stopping:
            return False
        self.housekeeping.between_batches()
        if self._ending():
            return False
        self.database.expect(synced=False)
        ready = self._sleeper.wait(pause)
        if self.lifeline in ready and not os.read(self.lifeline, 1):
            self.stopping = True
        if self.bell.fileno() in ready:
            self.bell.drain()
            due = 0
        called = self._jobs_bell.fileno() in ready and self._jobs_bell.drain()
        if called:
            # Whoever made an earlier one would have rung: the job we were called for need not wait
            # until others have been searched for.
            self._nothing_due_before = _NEVER if due is None else due
        return called

    def _ring_maintenance(self) -> None:
        self._ringer.ring("maint-")


def _result_lost(finished: FinishedAttempt) -> FinishedAttempt:
    message = (
        "the job left its worker unable to write (it closed descriptors that are not its own, or "
        "became another user), and its outcome was too large to be handed over"
    )
    error = AttemptError("ResultLost", message, Outcome.FAILED)
    return replace(finished, outcome=Outcome.FAILED, result=None, error=error)

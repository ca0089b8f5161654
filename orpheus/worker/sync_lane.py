"""The lane of a sync worker: claim, run one job after the other, settle; one thread.

Owns the worker's side of protocols B (token and revoke word before every start) and C (an
outcome is in the outbox before the next job starts). Started by `worker.main`; never forks.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from orpheus.clock import SECOND_NS, SECOND_US, Clock
from orpheus.domain.attempt import Claim
from orpheus.domain.outcome import FinishedAttempt
from orpheus.errors import StoreBusy
from orpheus.ipc.doorbell import Doorbell, ring, ring_all
from orpheus.ipc.outbox import Outbox
from orpheus.ipc.scoreboard import Slot
from orpheus.log import get_logger
from orpheus.settings import Settings
from orpheus.store.claim import WorkerIdentity, has_claimable
from orpheus.store.database import Database
from orpheus.store.promote import next_due
from orpheus.store.settle import Batch
from orpheus.store.turn import Turn, turn
from orpheus.worker.room import Room
from orpheus.worker.soft_stop import SoftStop

# Hints may be lost (law 7): an idle worker also looks by itself.
_POLL_NS = 2 * SECOND_NS
_RETRY_SECONDS = 0.2
_log = get_logger("worker.sync_lane")


@dataclass(slots=True)
class SyncLane:
    """One worker at work.

    `run_attempt` runs the user's code for one claim and tells how it ended; it never raises.
    `lifeline` becomes readable when the master is gone.
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
    stopping: bool = False
    _finished: list[FinishedAttempt] = field(default_factory=list)
    _give_back: list[int] = field(default_factory=list)
    _outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        self._outbox = Outbox(self.slot, self.clock)

    def run(self) -> None:
        """Work until told to stop, or until a soft stop left this process in doubt."""
        while not self.stopping and not self.stop.raised:
            if not self._unsettled() and not self._may_claim():
                self._wait()
                continue
            result = self._turn(self.room.size)
            if result is not None and result.claims:
                self._work(deque(result.claims))
        self.slot.stopping = 1
        while self._unsettled() and not self._settled_at_last():
            pass

    def request_stop(self) -> None:
        """Finish the running job, give the rest back, end. Safe in a signal handler."""
        self.stopping = True
        # An idle worker sits in select(), which goes on after a signal by itself.
        ring(self.bell.path)

    def _unsettled(self) -> bool:
        return bool(self._finished or self._give_back)

    def _settled_at_last(self) -> bool:
        """Settle with no more claims; False where it has to be tried again."""
        return self._turn(0) is not None

    def _turn(self, room: int) -> Turn | None:
        """One turn; None where the store could not be written and everything is kept."""
        batch = Batch.of(self._finished)
        try:
            # A turn that only claims need not survive a power cut: its claimant does not either.
            with self.database.write(synced=bool(self._finished)) as tx:
                result = turn(tx, self.worker, batch, self._give_back, room, self.rng)
        except StoreBusy as error:
            _log.warning("cannot settle now; results are kept", error=str(error))
            select.select([self.bell.fileno()], [], [], _RETRY_SECONDS)
            self.bell.drain()
            return None
        for attempt_id in result.settled.lost:
            _log.warning("lease lost: the result was dropped", attempt_id=attempt_id)
        self._finished.clear()
        self._outbox.clear()
        if self._give_back:
            self._give_back.clear()
        # All that was revoked is released now, by us or by maintenance; what comes is new.
        self.slot.revoke_from = 0
        self._ring(result, batch)
        return result

    def _ring(self, result: Turn, batch: Batch) -> None:
        bells = self.settings.run_dir / "bells"
        if batch.finished or result.claims or result.promoted:
            ring_all(bells, "feed-")
        if result.promoted + result.settled.pending > len(result.claims):
            ring_all(bells, "work-")

    def _work(self, claims: deque[Claim]) -> None:
        started = self.clock.monotonic()
        ran = 0
        batch = len(claims)
        while claims:
            self.slot.claimed = len(claims)
            claim = claims.popleft()
            if self.stopping or self.stop.raised or not self._start(claim):
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
        return True

    def _finish(self, finished: FinishedAttempt) -> None:
        self._finished.append(finished)
        fits = self._outbox.append(finished.encode())
        self.slot.finished += 1
        self.slot.token = 0
        if not fits:
            # Too large to survive our death on the scoreboard: settled before the next job.
            while self._turn(0) is None:
                pass

    def _may_claim(self) -> bool:
        """A look without the gate; what it finds may be gone when the turn comes."""
        due = next_due(self.database.connection)
        if due is not None and due <= self.clock.now():
            return True
        return has_claimable(self.database.connection, self.worker.lanes)

    def _wait(self) -> None:
        """Sleep until the bell rings, a scheduled job is due, or the slow poll."""
        due = next_due(self.database.connection)
        pause = _POLL_NS / SECOND_NS
        if due is not None:
            pause = min(pause, max(0.0, (due - self.clock.now()) / SECOND_US))
        if self.stopping:
            return
        bell = self.bell.fileno()
        ready, _, _ = select.select([bell, self.lifeline], [], [], pause)
        if self.lifeline in ready and not os.read(self.lifeline, 1):
            self.stopping = True
        if bell in ready:
            self.bell.drain()

    def _ring_maintenance(self) -> None:
        ring_all(self.settings.run_dir / "bells", "maint-")

"""What dead workers leave behind: finished outcomes are settled, claims go back (protocol E).

Three cases: a worker of this run that the master reaped; workers of earlier runs of this pool,
all dead because this run has the pool's lock; workers of other pools whose leases ran out.
"""

from __future__ import annotations

import os
from pathlib import Path

from orpheus.domain.attempt import Outcome
from orpheus.ipc.locks import is_free, worker_lock
from orpheus.ipc.outbox import Outbox
from orpheus.ipc.process import exit_text, kill_exactly, same_pid_namespace
from orpheus.ipc.scoreboard import (
    CANCELLED,
    DEAD,
    DRAIN,
    FREE,
    TIMED_OUT,
    Scoreboard,
    Slot,
    boards_of,
)
from orpheus.log import get_logger
from orpheus.maintenance.outboxes import finished_in
from orpheus.maintenance.pool import Pool
from orpheus.store import workers
from orpheus.store.reclaim import Death, reclaim
from orpheus.store.settle import settle
from orpheus.store.transaction import Transaction

_log = get_logger("maintenance.recovery")
_OUTCOMES = {
    TIMED_OUT: Outcome.TIMED_OUT,
    CANCELLED: Outcome.CANCELLED,
    DRAIN: Outcome.INTERRUPTED,
}


def settle_dead_slots(pool: Pool) -> None:
    """Settle each worker the master has reaped and give its slot free."""
    dead = [slot for slot in pool.board.slots if slot.state == DEAD]
    for slot in dead:
        _settle_slot(pool, pool.board, slot, "worker_died")
        slot.state = FREE
    if dead:
        pool.ring_workers()
        pool.ring_feeds()


def settle_previous_runs(pool: Pool) -> None:
    """Settle what earlier runs of this pool left, before this run relies on anything.

    Their boards, of the same boot, say what ran and what was finished; what no board explains
    (another boot, a lost file) was interrupted.
    """
    for path in boards_of(pool.settings.run_dir, pool.name):
        if path == pool.board.path:
            continue
        _settle_board(pool, path)
        path.unlink(missing_ok=True)
    ours = {(slot.pid, slot.start_time) for slot in pool.board.slots if slot.state != FREE}
    with pool.write() as tx:
        for worker in workers.live(tx):
            if worker.pool == pool.name and (worker.pid, worker.start_time) not in ours:
                reclaim(tx, worker.id, Death("previous_run"), pool.rng)
                workers.end(tx, worker.id, crashed=True, exit_=None)
                _remove_lock(pool, worker.id)
    pool.ring_workers()
    pool.ring_feeds()


def reclaim_other_pools(pool: Pool, may_kill: bool) -> None:
    """Reclaim expired leases of workers of other pools that are proven dead.

    `may_kill`: this process has itself written without a gap for a whole lease, so an expired
    lease is the other's failure and not ours; only then is a holder killed.
    """
    with pool.write() as tx:
        overdue = workers.expired(tx, pool.clock.boot_id)
        foreign = [
            worker
            for worker in workers.live(tx)
            if worker.id in overdue and worker.pool != pool.name
        ]
    for worker in foreign:
        lock = worker_lock(pool.settings.locks_dir, worker.id)
        if worker.boot_id != pool.clock.boot_id:
            # Its clock says nothing here, and it may be of this boot: in another time namespace.
            if is_free(lock) or not lock.exists():
                _reclaim_plain(pool, worker, "other_boot")
        elif is_free(lock):
            _reclaim_foreign(pool, worker)
        elif may_kill:
            _kill_foreign(worker)


def _settle_board(pool: Pool, path: Path) -> None:
    try:
        board = Scoreboard.open(path)
    except (OSError, ValueError):
        return
    try:
        if board.boot_id == pool.clock.boot_id:
            for slot in board.slots:
                if slot.state != FREE:
                    _settle_slot(pool, board, slot, "previous_run")
    finally:
        board.close()


def _settle_slot(pool: Pool, board: Scoreboard, slot: Slot, reason: str) -> None:
    """Settle the outbox, then reclaim the rest, and record the worker's end: one transaction."""
    exit_ = exit_text(slot.exit_status) if slot.state == DEAD else None
    # `os._exit(0)` in a handler is no clean end.
    clean = slot.state == DEAD and slot.exit_status == 0 and not slot.armed
    finished = finished_in(Outbox(slot, pool.clock))
    death = Death(
        reason,
        running=slot.armed or None,
        outcome=_outcome(board, slot),
        started_at=slot.started_wall or None,
        exit=exit_,
    )
    dropped = slot.take_dropped()
    with pool.write() as tx:
        if dropped:
            tx.totals.add("output_dropped", value=dropped)
        worker_id = slot.worker_id or _registered_as(tx, slot)
        settle(tx, finished, pool.rng)
        if worker_id:
            taken_back = reclaim(tx, worker_id, death, pool.rng).moved
            workers.end(tx, worker_id, crashed=not (clean or board.draining), exit_=exit_)
        else:
            taken_back = 0
    if worker_id:
        _remove_lock(pool, worker_id)
        _log.info(
            "worker ended",
            worker=f"{board.pool}-{worker_id}",
            worker_pid=slot.pid,
            exit=exit_,
            finished=len(finished.finished),
            taken_back=taken_back,
        )


def _outcome(board: Scoreboard, slot: Slot) -> Outcome:
    if slot.killed_for and slot.killed_for == slot.armed and slot.killed_why in _OUTCOMES:
        return _OUTCOMES[slot.killed_why]
    return Outcome.INTERRUPTED if board.draining else Outcome.CRASHED


def _registered_as(tx: Transaction, slot: Slot) -> int:
    """The worker that died after its registration and before it told the scoreboard."""
    for worker in workers.live(tx):
        if (worker.pid, worker.start_time) == (slot.pid, slot.start_time):
            return worker.id
    return 0


def _reclaim_foreign(pool: Pool, worker: workers.LiveWorker) -> None:
    for path in boards_of(pool.settings.run_dir, worker.pool):
        board = Scoreboard.open(path)
        try:
            for slot in board.slots:
                if slot.worker_id == worker.id and slot.pid == worker.pid:
                    _settle_slot(pool, board, slot, "expired")
                    return
        finally:
            board.close()
    _reclaim_plain(pool, worker, "expired")


def _reclaim_plain(pool: Pool, worker: workers.LiveWorker, reason: str) -> None:
    with pool.write() as tx:
        reclaim(tx, worker.id, Death(reason), pool.rng)
        workers.end(tx, worker.id, crashed=True, exit_=None)
    _remove_lock(pool, worker.id)
    pool.ring_workers()
    pool.ring_feeds()


def _kill_foreign(worker: workers.LiveWorker) -> None:
    # Not reclaimed here: its lock will be free, and that is the proof, the next time we look.
    if same_pid_namespace(worker.pid) and kill_exactly(worker.pid, worker.start_time):
        _log.warning("killed a worker of another pool: its lease ran out", worker=worker.name)
    else:
        _log.error(
            "a lease ran out but its worker cannot be proven dead; its jobs stay with it",
            worker=worker.name,
            worker_pid=worker.pid,
        )


def _remove_lock(pool: Pool, worker_id: int) -> None:
    try:
        os.unlink(worker_lock(pool.settings.locks_dir, worker_id))
    except FileNotFoundError:
        pass

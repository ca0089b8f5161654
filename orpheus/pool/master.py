"""The master: keeps one maintenance process and N workers running, and stops them in order.

Boring on purpose, since a crash here takes the pool down: one thread, one loop, no SQLite, no
handlers, and no step of the loop can keep the next from running. Whatever ends it, its children
end with it.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from enum import Enum, auto

from orpheus.clock import SECOND_NS
from orpheus.errors import EXIT_CONFIGURATION, EXIT_INTERNAL, EXIT_OK, EXIT_TEMPORARY
from orpheus.ipc.doorbell import ring_all
from orpheus.ipc.locks import FileLock
from orpheus.ipc.process import start_time
from orpheus.ipc.scoreboard import DRAIN, FREE, Scoreboard, board_path
from orpheus.log import get_logger
from orpheus.pool.children import Role
from orpheus.pool.crew import Crew, Death
from orpheus.pool.deadlines import enforce
from orpheus.pool.lateness import end_late_start
from orpheus.pool.leftovers import kill_leftovers
from orpheus.pool.liveness import Liveness
from orpheus.pool.only_one import become_master
from orpheus.pool.signals import Signals
from orpheus.pool.spawn import Spawner
from orpheus.pool.spec import PoolSpec
from orpheus.pool.watchdog import GateWatchdog

_TICK = SECOND_NS // 10
# For maintenance to settle what the last workers left.
_LAST_WORDS = 5 * SECOND_NS

_log = get_logger("pool.master")


class _Phase(Enum):
    PREPARING = auto()
    RUNNING = auto()
    DRAINING = auto()  # workers finish what they run, or prepare is asked to end
    ENDING = auto()  # only maintenance is left, to settle what they left
    ENDED = auto()


def run(spec: PoolSpec) -> int:
    """Run a pool until it is told to stop; the program's exit code."""
    signals = Signals()
    lock = FileLock(spec.lock_path)
    if (code := become_master(spec, lock, signals)) is not None:
        return code
    kill_leftovers(spec)
    return Master(spec, lock, signals).run()


class Master:
    """Made once per run, by the process that holds the pool's lock."""

    def __init__(self, spec: PoolSpec, lock: FileLock, signals: Signals) -> None:
        self._spec = spec
        self._clock = spec.clock
        self._signals = signals
        self._board = _new_board(spec)
        self._spawner = Spawner(spec, self._board, lock, signals)
        self._crew = Crew(spec, self._board, self._spawner)
        self._liveness = Liveness(self._board, spec.lease)
        self._watchdog = GateWatchdog(spec.gate_path)
        self._phase = _Phase.PREPARING
        self._code = EXIT_OK
        self._deadline = 0
        self._asked = 0

    def run(self) -> int:
        """The loop; the program's exit code."""
        steps = (
            self._sleep,
            self._hear_operator,
            self._bury,
            self._enforce_deadlines,
            self._look_for_silence,
            self._watch_gate,
            self._advance,
        )
        try:
            self._crew.start(self._crew.prepare)
            while self._phase is not _Phase.ENDED:
                for step in steps:
                    _guarded(step)
        except BaseException:
            _log.exception("the master failed")
            self._code = EXIT_INTERNAL
        finally:
            self._crew.leave_nobody(DRAIN)
        if all(slot.state == FREE for slot in self._board.slots):
            # Nothing the next run would have to settle.
            self._board.path.unlink(missing_ok=True)
        self._spawner.close()
        _log.info("pool stopped", pool=self._spec.pool, code=self._code)
        return self._code

    # --- what happens -----------------------------------------------------------------------------

    def _sleep(self) -> None:
        waiting = self._crew.ready_pipes()
        for descriptor in self._signals.wait(self._until_next() / SECOND_NS, waiting):
            child = waiting[descriptor]
            # An end of file instead of a byte: it is dying, and will be found dead.
            child.ready = bool(os.read(descriptor, 1))
            child.close_ready()

    def _until_next(self) -> int:
        """How long nothing can be due, in nanoseconds."""
        due = self._crew.next_start() if self._phase is _Phase.RUNNING else None
        return _TICK if due is None else min(_TICK, max(0, due - self._clock.monotonic()))

    def _hear_operator(self) -> None:
        before, self._asked = self._asked, self._signals.stops
        if self._asked == before:
            return
        if before == 0:
            _log.info("asked to stop")
            self._stop(EXIT_OK)
        if self._asked > 1:
            _log.warning("asked to stop at once")
            self._stop_at_once()

    def _bury(self) -> None:
        for death in self._crew.bury():
            if death.place.role is Role.PREPARE:
                self._prepared(death.code)
            elif self._phase is _Phase.RUNNING:
                self._judge(death)

    def _prepared(self, code: int) -> None:
        if self._phase is not _Phase.PREPARING:
            return
        if code == 0:
            self._phase = _Phase.RUNNING
            _log.info("pool runs", pool=self._spec.pool, processes=self._spec.processes)
        else:
            self._code = code if code > 0 else EXIT_INTERNAL
            self._phase = _Phase.ENDED

    def _judge(self, death: Death) -> None:
        """Whether the pool can go on after this."""
        role = death.place.role
        if not death.child.ready and death.code in (EXIT_TEMPORARY, EXIT_CONFIGURATION):
            _log.error("a child cannot start: stopping", role=role, code=death.code)
            self._stop(death.code)
        elif death.place.restarts.exhausted:
            _log.error("a child keeps dying before it is ready: stopping", role=role)
            self._stop(EXIT_INTERNAL)

    def _enforce_deadlines(self) -> None:
        now = self._clock.monotonic()
        for child in self._crew.living(self._crew.workers):
            enforce(child, now, self._spec.grace)
            end_late_start(child, now, self._spec.start)

    def _look_for_silence(self) -> None:
        # While it ends, maintenance has a deadline instead of a beat.
        if self._phase is not _Phase.ENDING:
            self._liveness.look(self._clock.monotonic(), self._crew.children.values())

    def _watch_gate(self) -> None:
        self._watchdog.look(self._clock.monotonic(), self._crew.children)

    # --- what follows from it ---------------------------------------------------------------------

    def _advance(self) -> None:
        if self._phase is _Phase.RUNNING:
            self._crew.refill((self._crew.maintenance, *self._crew.workers))
        elif self._phase is _Phase.DRAINING:
            self._drain()
        elif self._phase is _Phase.ENDING:
            self._end()

    def _stop(self, code: int) -> None:
        """Begin to stop; the first reason decides the exit code."""
        if self._phase not in (_Phase.PREPARING, _Phase.RUNNING):
            return
        preparing = self._phase is _Phase.PREPARING
        self._code = code
        self._phase = _Phase.DRAINING
        self._deadline = self._clock.monotonic() + self._spec.drain
        self._board.draining = 1
        self._crew.send((self._crew.prepare, *self._crew.workers), signal.SIGTERM)
        if not preparing:
            ring_all(self._spec.run_dir / "bells", f"work-{self._spec.pool}-")

    def _stop_at_once(self) -> None:
        self._stop(EXIT_OK)
        self._crew.kill_all(DRAIN)
        self._enter_end()

    def _drain(self) -> None:
        left = self._crew.living((self._crew.prepare, *self._crew.workers))
        if not left:
            self._crew.send((self._crew.maintenance,), signal.SIGTERM)
            self._enter_end()
            return
        if self._crew.prepare.child is None:
            # Until the end, the leases and results of the workers need it.
            self._crew.refill((self._crew.maintenance,))
        if self._clock.monotonic() >= self._deadline:
            _log.warning("the drain is over: killing the workers left", workers=len(left))
            for child in left:
                child.kill(DRAIN)
            self._deadline += SECOND_NS

    def _enter_end(self) -> None:
        self._phase = _Phase.ENDING
        self._deadline = self._clock.monotonic() + _LAST_WORDS

    def _end(self) -> None:
        if not self._crew.children:
            self._phase = _Phase.ENDED
        elif self._clock.monotonic() >= self._deadline:
            self._crew.kill_all(DRAIN)
            self._deadline += SECOND_NS


def _new_board(spec: PoolSpec) -> Scoreboard:
    pid = os.getpid()
    started = start_time(pid) or 0
    path = board_path(spec.run_dir, spec.pool, pid, started)
    return Scoreboard.create(path, spec.slots, spec.pool, spec.clock.boot_id, pid, started)


def _guarded(step: Callable[[], None]) -> None:
    """A step that fails must not keep the others from managing the children."""
    try:
        step()
    except Exception:
        _log.exception("a step of the master failed")
        # What failed may fail again at once; the loop must not spin over it.
        time.sleep(0.05)

"""The watchdog of the gate: a process that stops inside it would freeze every other one.

It reads who is inside, which needs no SQLite, and kills a holder that stays: a child of this
master after 2 s, another process of Orpheus after 10 s. A user's own process is only reported.
Killing is safe, since SQLite rolls the half transaction back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from orpheus.clock import SECOND_NS
from orpheus.ipc.locks import ORPHEUS, GateRecord, is_free, read_record
from orpheus.ipc.process import kill_exactly, same_pid_namespace
from orpheus.ipc.scoreboard import STUCK
from orpheus.log import get_logger
from orpheus.pool.children import Child, Role

INTERVAL = SECOND_NS // 4
_OWN_LIMIT = 2 * SECOND_NS
_OTHER_LIMIT = 10 * SECOND_NS
# Time may have passed for the holder and us alike (a frozen machine): looks must have, too.
_LEAST_LOOKS = 4

_log = get_logger("pool.watchdog")


class GateWatchdog:
    """Looks at the gate each `INTERVAL`; `look` may be called more often."""

    def __init__(self, gate_path: Path) -> None:
        self._gate_path = gate_path
        self._next_look = 0
        self._record: GateRecord | None = None
        self._since = 0
        self._looks = 0
        self._done_with = False

    def look(self, now: int, children: Mapping[int, Child]) -> None:
        """See who is inside and end a stay that is too long."""
        if now < self._next_look:
            return
        self._next_look = now + INTERVAL
        record = read_record(self._gate_path)
        if record != self._record:
            self._record, self._since, self._looks, self._done_with = record, now, 0, False
        self._looks += 1
        if record is None or self._done_with or self._looks < _LEAST_LOOKS:
            return
        self._judge(record, now - self._since, children)

    def _judge(self, record: GateRecord, stayed: int, children: Mapping[int, Child]) -> None:
        child = children.get(record.pid)
        own = child is not None and child.start_time == record.start_time
        if stayed < (_OWN_LIMIT if own else _OTHER_LIMIT):
            return
        # A record without the lock is what a process left behind that died inside.
        if is_free(self._gate_path):
            self._done_with = True
        elif child is not None and own:
            self._end_child(child, record)
        else:
            self._end_other(record)

    def _end_child(self, child: Child, record: GateRecord) -> None:
        # A migration may really take long, and half of one should not be the usual outcome.
        if child.role is Role.PREPARE:
            self._report(record, "prepare stays in the write gate")
            return
        # Not "done": a kill is repeated until the record changes.
        _log.error("killing a child stuck in the write gate", role=child.role, child=child.pid)
        child.kill(STUCK)

    def _end_other(self, record: GateRecord) -> None:
        if record.kind != ORPHEUS:
            self._report(record, "a client stays in the write gate")
        elif same_pid_namespace(record.pid) and kill_exactly(record.pid, record.start_time):
            self._report(record, "killed a process stuck in the write gate")
        else:
            self._report(record, "a process that cannot be killed from here stays in the gate")

    def _report(self, record: GateRecord, what: str) -> None:
        self._done_with = True
        _log.error(what, holder=record.pid)

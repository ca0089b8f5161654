"""Workers that do not get ready: importing the handlers hangs, or waits for something for ever.

The worker is asked first where it is, which it answers even from inside a C call, and killed a
moment later. Its place is tried again; the others work on meanwhile.
"""

from __future__ import annotations

from orpheus.clock import SECOND_NS
from orpheus.ipc.scoreboard import STUCK
from orpheus.log import get_logger
from orpheus.pool.children import ANSWER_NS, Child, Role

_log = get_logger("pool.lateness")


def end_late_start(child: Child, now: int, limit: int) -> None:
    """Do to a worker what the length of its start asks for now; `limit` in nanoseconds."""
    if child.ready or child.role is not Role.WORKER or now - child.since < limit:
        return
    if child.killed:
        # It takes a dying process a while to be gone where the machine is busy.
        return
    if child.late_since is None:
        child.late_since = now
        child.ask_where()
    elif now - child.late_since >= ANSWER_NS:
        _log.error(
            f"a worker is not ready after {limit / SECOND_NS:g} s: killing it; "
            "importing the handlers hangs, or takes longer than ORPHEUS_START_SECONDS",
            worker_pid=child.pid,
            stack=child.stack(),
        )
        child.kill(STUCK)

"""Stopping one attempt (protocol D): ask it, ask again, then kill it, and never a later one.

The worker says on the scoreboard which attempt's user code runs (`armed`) and until when. *Soft*
is a signal, repeated each second, as one alone can be lost in a destructor or an event loop.
*Forced* comes when the grace is over: it is told to say where it is, then SIGSTOP, wait until it
is reported stopped, look again, SIGKILL only if that attempt still runs, else SIGCONT. Looking and
then killing, without the stop between, hits a later attempt.
"""

from __future__ import annotations

import signal

from orpheus.clock import SECOND_NS
from orpheus.ipc.process import SOFT_STOP
from orpheus.ipc.scoreboard import CANCELLED, TIMED_OUT
from orpheus.log import get_logger
from orpheus.pool.children import ANSWER_NS, Child, Sentence

_REPEAT = SECOND_NS

_log = get_logger("pool.deadlines")


def enforce(child: Child, now: int, grace: int) -> None:
    """Do to a worker what its attempt's deadline, or a request to cancel it, asks for now."""
    _carry_out(child, now)
    slot = child.slot
    if slot is None or child.sentence is not None or child.killed:
        return
    attempt = slot.armed
    deadline = slot.deadline_mono
    cancelled = slot.cancel == attempt
    asked = child.soft_stopped == attempt
    if attempt == 0 or slot.armed != attempt:
        # Nothing runs, or the words read between belong to what ran before or after.
        return
    overdue = 0 < deadline <= now
    if overdue:
        slot.timeout = attempt
    if overdue and now >= deadline + grace:
        _begin(child, attempt, TIMED_OUT, now)
    elif cancelled and asked and now >= child.soft_stopped_since + grace:
        _begin(child, attempt, CANCELLED, now)
    elif overdue or cancelled:
        _soft_stop(child, attempt, now)


def _soft_stop(child: Child, attempt: int, now: int) -> None:
    if child.soft_stopped != attempt:
        child.soft_stopped, child.soft_stopped_since = attempt, now
    elif now - child.soft_stopped_at < _REPEAT:
        return
    child.soft_stopped_at = now
    child.send(SOFT_STOP)


def _begin(child: Child, attempt: int, why: int, now: int) -> None:
    child.sentence = Sentence(attempt, why, now)
    # A process that is stopped says nothing, so the stop comes when it has answered.
    child.ask_where()


def _carry_out(child: Child, now: int) -> None:
    """Finish a forced kill, if one is under way and the child has been reported stopped."""
    sentence, slot = child.sentence, child.slot
    if sentence is None or slot is None:
        return
    if not sentence.stopping:
        if not child.has_answered() and now - sentence.since < ANSWER_NS:
            return
        sentence.stopping = True
        child.send(signal.SIGSTOP)
        return
    if child.stopped_since is None:
        return
    child.sentence = None
    if slot.armed == sentence.attempt:
        _log.warning(
            "killing a worker for its attempt",
            worker_pid=child.pid,
            attempt=sentence.attempt,
            stack=child.stack(),
        )
        child.kill(sentence.why, sentence.attempt)
    else:
        child.stopped_since = None
        child.send(signal.SIGCONT)

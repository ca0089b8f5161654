"""Runs one attempt: payload in, `FinishedAttempt` out, whatever the handler does.

Called by the lanes, which own the slot's token and the revoke check (protocol B) and settle what
this returns. Never touches the database, never raises for anything a handler does, and lets a
soft stop surface at one call only (protocol D).
"""

from __future__ import annotations

from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

import anyio

from orpheus.clock import Clock
from orpheus.domain.attempt import Claim, Outcome
from orpheus.domain.outcome import AttemptError, FinishedAttempt
from orpheus.errors import InvalidRequest
from orpheus.handlers.registry import JobType
from orpheus.worker.context import OutputSink, RunContext
from orpheus.worker.failure import Refused, failure_of
from orpheus.worker.result import to_json
from orpheus.worker.soft_stop import SlotWords, SoftStop, call_user

_NS_PER_US = 1000


@dataclass(frozen=True, slots=True)
class ContextSupply:
    """What a worker lends each attempt it runs."""

    slot: SlotWords
    soft_stop: SoftStop
    sink: OutputSink


def execute(
    claim: Claim,
    job_type: JobType,
    supply: ContextSupply,
    clock: Clock,
) -> FinishedAttempt:
    """Run the handler of `job_type` for `claim` and say how it ended.

    Sets the slot's times, and `armed` from just before the user code until its outcome is known:
    turning a result or an exception into text runs user code too, so that must be killable.
    """
    slot, soft_stop = supply.slot, supply.soft_stop
    started = clock.now()
    slot.started_wall = started
    slot.started_mono = clock.monotonic()
    slot.deadline_mono = slot.started_mono + claim.timeout * _NS_PER_US
    context = RunContext(claim, slot, supply.sink, clock, started + claim.timeout)
    run = partial(_run, claim, job_type, context)
    soft_stop.arm(claim.attempt_id)
    try:
        value = call_user(run)
    except BaseException as error:
        outcome, result, problem = _failed(error, soft_stop)
    else:
        outcome, result, problem = _returned(value)
    context.flush()
    soft_stop.disarm()
    return FinishedAttempt(
        attempt_id=claim.attempt_id,
        outcome=outcome,
        started_at=started,
        finished_at=max(started, clock.now()),
        result=result,
        error=problem,
    )


_Ending = tuple[Outcome, str | None, AttemptError | None]


def _run(claim: Claim, job_type: JobType, context: RunContext) -> object:
    """The user code: also the payload's validators may be the user's."""
    try:
        arguments = job_type.signature.arguments(claim.payload, context)
    except InvalidRequest as error:
        # Submitted before the handler changed.
        raise Refused("invalid_payload", error.detail) from None
    call = partial(job_type.handler, **arguments)
    # A context of its own: variables a handler sets must not reach the next job, nor our log.
    variables = copy_context()
    return variables.run(anyio.run, call) if job_type.lane == "async" else variables.run(call)


def _failed(error: BaseException, soft_stop: SoftStop) -> _Ending:
    outcome, problem = failure_of(error, soft_stop.outcome)
    return outcome, None, problem


def _returned(value: object) -> _Ending:
    try:
        return Outcome.DONE, to_json(value), None
    except Refused as refusal:
        outcome, problem = failure_of(refusal, None)
        return outcome, None, problem

"""A soft stop surfaces at the call of user code only, wherever the signal strikes (protocol D).

Random signals never hit the windows of the simpler form (0 of 15,000), so the signal's function
is called here before every opcode of everything `execute` does, one run for each.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import anyio
import pytest

import orpheus.worker
from orpheus import Context, job
from orpheus.domain.attempt import Outcome
from orpheus.domain.outcome import FinishedAttempt
from orpheus.errors import JobCancelled
from orpheus.ipc.process import SOFT_STOP
from orpheus.worker.soft_stop import SoftStop
from tests.worker.attempts import ATTEMPT_ID, Attempt, error_of, signals_restored

WORKER = str(Path(orpheus.worker.__file__).parent) + os.sep


@pytest.fixture(autouse=True)
def _restore_signals() -> Iterator[None]:
    with signals_restored():
        yield


class Ungated(SoftStop):
    """The simpler form: it believes the armed word and does not look at the stack."""

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        if self._slot.armed and self._slot.cancel == self._slot.armed:
            raise JobCancelled("the job was cancelled")


@job
def returns() -> int:
    return sum([1, 2])


@job
def raises() -> int:
    raise ValueError("by itself")


class Injection:
    """Runs a handler with the stop signal injected before opcode number `point`."""

    def __init__(self, handler: Callable[..., Any], stop_class: type[SoftStop], point: int) -> None:
        self.attempt = Attempt(stop_class=stop_class)
        self.attempt.slot.cancel = ATTEMPT_ID
        self.handler = handler
        self.point = point
        self.seen = 0

    def run(self) -> FinishedAttempt:
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            return self.attempt.run(self.handler)
        finally:
            sys.settrace(before)

    def strike(self) -> FinishedAttempt:
        """Run, and make sure that the signal was injected."""
        warm_up(self.handler)
        finished = self.run()
        assert self.seen >= self.point
        return finished

    def _enter(self, frame: FrameType, event: str, _argument: object) -> Any:
        code = frame.f_code
        if code.co_filename.startswith(WORKER) or code is self.handler.__code__:
            if code is SoftStop.on_signal.__code__ or code is Ungated.on_signal.__code__:
                return None
            frame.f_trace_opcodes = True
            return self._step
        return None

    def _step(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "opcode":
            self.seen += 1
            if self.seen == self.point:
                self.attempt.soft_stop.on_signal(SOFT_STOP, frame)
        return self._step


def warm_up(handler: Callable[..., Any]) -> None:
    """From 3.12 on, code shows its opcodes from the run after the first that asked for them."""
    if sys.version_info >= (3, 12):
        Injection(handler, SoftStop, point=0).run()


def points(handler: Callable[..., Any]) -> range:
    """Every opcode of an undisturbed run."""
    warm_up(handler)
    undisturbed = Injection(handler, SoftStop, point=0)
    undisturbed.run()
    assert undisturbed.seen > 100
    return range(1, undisturbed.seen + 1)


@pytest.mark.parametrize(
    ("handler", "own_outcome"), [(returns, Outcome.DONE), (raises, Outcome.FAILED)]
)
def test_a_stop_at_any_opcode_is_recorded_or_ignored_and_never_escapes(
    handler: Callable[..., Any], own_outcome: Outcome
) -> None:
    outcomes = []
    for point in points(handler):
        injection = Injection(handler, SoftStop, point)
        finished = injection.strike()
        stopped = injection.attempt.soft_stop.raised
        assert finished.outcome == (Outcome.CANCELLED if stopped else own_outcome), point
        assert injection.attempt.slot.armed == 0
        outcomes.append(finished.outcome)
    assert outcomes.count(Outcome.CANCELLED) > 10
    # Before the call and after it the stop is ignored; the master sends it again.
    assert outcomes[0] == outcomes[-1] == own_outcome


@pytest.mark.parametrize("handler", [returns, raises])
def test_without_the_gate_a_stop_escapes(handler: Callable[..., Any]) -> None:
    escapes = 0
    for point in points(handler):
        try:
            Injection(handler, Ungated, point).strike()
        except JobCancelled:
            escapes += 1
    assert escapes > 10


@job
def signals_itself() -> str:
    os.kill(os.getpid(), SOFT_STOP)
    return "went on"


@job
async def signals_itself_async() -> str:
    os.kill(os.getpid(), SOFT_STOP)
    await anyio.sleep(30)
    return "went on"


@pytest.mark.parametrize("handler", [signals_itself, signals_itself_async])
@pytest.mark.parametrize(
    ("word", "outcome"), [("timeout", Outcome.TIMED_OUT), ("cancel", Outcome.CANCELLED)]
)
def test_the_real_signal_stops_the_named_attempt(
    handler: Callable[..., Any], word: str, outcome: Outcome
) -> None:
    attempt = Attempt()
    setattr(attempt.slot, word, ATTEMPT_ID)
    finished = attempt.run(handler)
    assert finished.outcome == outcome
    assert attempt.soft_stop.raised
    assert error_of(finished).kind == outcome


@pytest.mark.parametrize("word", ["timeout", "cancel"])
def test_a_signal_meant_for_another_attempt_is_ignored(word: str) -> None:
    attempt = Attempt()
    setattr(attempt.slot, word, ATTEMPT_ID - 1)
    assert attempt.run(signals_itself).outcome == Outcome.DONE
    assert not attempt.soft_stop.raised


def test_a_signal_between_attempts_is_ignored() -> None:
    attempt = Attempt()
    attempt.run(returns)
    attempt.slot.cancel = ATTEMPT_ID
    os.kill(os.getpid(), SOFT_STOP)
    assert not attempt.soft_stop.raised


def test_a_handler_that_took_the_signal_does_not_keep_it() -> None:
    @job
    def takes_the_signal() -> None:
        signal.signal(SOFT_STOP, signal.SIG_IGN)

    attempt = Attempt()
    attempt.run(takes_the_signal)
    attempt.slot.timeout = ATTEMPT_ID
    assert attempt.run(signals_itself).outcome == Outcome.TIMED_OUT


def test_what_a_handler_makes_of_the_stop_is_still_the_stop() -> None:
    @job
    def translates() -> None:
        try:
            os.kill(os.getpid(), SOFT_STOP)
        except BaseException as error:
            raise RuntimeError("cleaning up failed") from error

    attempt = Attempt()
    attempt.slot.timeout = ATTEMPT_ID
    finished = attempt.run(translates)
    assert finished.outcome == Outcome.TIMED_OUT
    assert error_of(finished).message == "cleaning up failed"


def test_a_handler_that_finishes_in_spite_of_the_stop_is_done() -> None:
    @job
    def insists() -> str:
        try:
            os.kill(os.getpid(), SOFT_STOP)
        except BaseException:
            return "finished"
        return "never stopped"

    attempt = Attempt()
    attempt.slot.timeout = ATTEMPT_ID
    finished = attempt.run(insists)
    assert (finished.outcome, finished.result) == (Outcome.DONE, '"finished"')
    assert attempt.soft_stop.raised


def test_a_stop_interrupts_a_sleep_and_a_repeated_one_a_stubborn_handler() -> None:
    """The master repeats the signal each second; an interval timer stands in for it here."""

    @job
    def stubborn(ctx: Context) -> None:
        for _ in range(3):
            try:
                signal.pause()
            except JobCancelled:
                ctx.log.info("not yet")
        signal.pause()

    def remind(_number: int, _frame: FrameType | None) -> None:
        os.kill(os.getpid(), SOFT_STOP)

    attempt = Attempt()
    attempt.slot.cancel = ATTEMPT_ID
    before = signal.signal(signal.SIGALRM, remind)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        finished = attempt.run(stubborn)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert finished.outcome == Outcome.CANCELLED
    assert [record.message for record in attempt.sink.records] == ["not yet"] * 3

"""Whatever a handler does, `execute` returns an outcome for the attempt."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from orpheus import Context, JobCancelled, JobTimedOut, PermanentError, job
from orpheus.domain.attempt import Outcome
from orpheus.worker.result import MAX_RESULT_BYTES
from tests.worker.attempts import ATTEMPT_ID, MONOTONIC, WALL, Attempt, error_of, signals_restored


@pytest.fixture(autouse=True)
def _restore_signals() -> Iterator[None]:
    with signals_restored():
        yield


@pytest.fixture
def attempt() -> Attempt:
    return Attempt()


def test_a_result_is_json_text_with_the_times_of_the_run(attempt: Attempt) -> None:
    @job
    def resize(path: str, width: int = 800) -> dict[str, object]:
        attempt.clock.advance(2)
        return {"path": path, "width": width}

    finished = attempt.run(resize, {"path": "ä.png"})
    assert finished.attempt_id == ATTEMPT_ID
    assert finished.outcome == Outcome.DONE
    assert finished.result == r'{"path":"\u00e4.png","width":800}'
    assert finished.error is None
    assert (finished.started_at, finished.finished_at) == (WALL, WALL + 2_000_000)


def test_a_clock_set_back_does_not_end_an_attempt_before_it_started(attempt: Attempt) -> None:
    @job
    def while_the_clock_is_set() -> None:
        attempt.clock.wall -= 3_600_000_000

    finished = attempt.run(while_the_clock_is_set)
    assert finished.finished_at == finished.started_at == WALL


def test_the_slot_shows_the_run_while_user_code_runs_and_not_after(attempt: Attempt) -> None:
    seen = []

    @job
    def looks() -> None:
        seen.append(dataclasses.replace(attempt.slot))

    attempt.run(looks, timeout=5)
    assert seen[0].armed == ATTEMPT_ID
    assert seen[0].started_wall == WALL
    assert seen[0].started_mono == MONOTONIC
    assert seen[0].deadline_mono == MONOTONIC + 5_000_000_000
    assert (attempt.slot.armed, attempt.slot.deadline_mono) == (0, 0)


def test_turning_the_outcome_into_text_can_be_killed_too(attempt: Attempt) -> None:
    """`__str__` and a dict's `items` are user code: a hang in them must be attributed."""
    armed = []

    class Unhappy(Exception):
        def __str__(self) -> str:
            armed.append(attempt.slot.armed)
            return "unhappy"

    class Slow(dict[str, int]):
        def items(self) -> Any:
            armed.append(attempt.slot.armed)
            return super().items()

    @job
    def fails() -> None:
        raise Unhappy

    @job
    def returns() -> Slow:
        return Slow(a=1)

    attempt.run(fails)
    attempt.run(returns)
    assert set(armed) == {ATTEMPT_ID}
    assert len(armed) >= 2


def test_a_coroutine_handler_runs_on_anyio(attempt: Attempt) -> None:
    @job
    async def waits(ctx: Context, n: int) -> int:
        await anyio.lowlevel.checkpoint()
        return n + ctx.attempt

    assert attempt.run(waits, {"n": 40}).result == "42"


# --- failures -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (ValueError("no"), Outcome.FAILED),
        (PermanentError("no"), Outcome.FAILED_PERMANENT),
        (SystemExit("no"), Outcome.FAILED),
        (KeyboardInterrupt("no"), Outcome.FAILED),
        (GeneratorExit("no"), Outcome.FAILED),
        (MemoryError("no"), Outcome.FAILED),
        (JobTimedOut("no"), Outcome.TIMED_OUT),
        (JobCancelled("no"), Outcome.CANCELLED),
        (ExceptionGroup("tasks", [PermanentError("no")]), Outcome.FAILED_PERMANENT),
        (BaseExceptionGroup("tasks", [JobCancelled("no")]), Outcome.CANCELLED),
    ],
)
@pytest.mark.parametrize("lane", ["sync", "async"])
def test_what_an_exception_means(
    attempt: Attempt, error: BaseException, outcome: Outcome, lane: str
) -> None:
    @job
    def raises() -> None:
        raise error

    @job
    async def raises_async() -> None:
        await anyio.lowlevel.checkpoint()
        raise error

    finished = attempt.run(raises if lane == "sync" else raises_async)
    assert finished.outcome == outcome
    assert error_of(finished).kind == outcome
    assert error_of(finished).message == "no"
    assert not attempt.soft_stop.raised


def test_several_errors_of_a_task_group_stay_a_group(attempt: Attempt) -> None:
    @job
    def raises() -> None:
        raise ExceptionGroup("both", [ValueError("one"), KeyError("two")])

    error = error_of(attempt.run(raises))
    assert (error.type, error.kind) == ("ExceptionGroup", "failed")
    assert error.traceback is not None
    assert "ValueError: one" in error.traceback


def helper() -> None:
    raise KeyError("missing")


@job
def nested() -> None:
    try:
        helper()
    except KeyError as error:
        raise RuntimeError("wrapped") from error


@job
async def nested_async() -> None:
    nested()


@job
def checked(ctx: Context) -> None:
    ctx.check()


@pytest.mark.parametrize("handler", [nested, nested_async])
def test_a_traceback_begins_at_the_handler(
    attempt: Attempt, handler: Callable[..., object]
) -> None:
    traceback = error_of(attempt.run(handler)).traceback
    assert traceback is not None
    assert "helper()" in traceback
    assert "RuntimeError: wrapped" in traceback
    assert "KeyError: 'missing'" in traceback
    for foreign in ("orpheus/worker", "anyio", "asyncio"):
        assert foreign not in traceback


def test_a_traceback_ends_in_the_handler(attempt: Attempt) -> None:
    attempt.slot.cancel = ATTEMPT_ID
    traceback = error_of(attempt.run(checked)).traceback
    assert traceback is not None
    assert "ctx.check()" in traceback
    assert "orpheus/worker" not in traceback


def test_long_messages_and_tracebacks_are_cut(attempt: Attempt) -> None:
    @job
    def talks() -> None:
        raise ValueError("x" * 1_000_000)

    error = error_of(attempt.run(talks))
    assert len(error.message) <= 4096
    assert error.traceback is not None
    assert len(error.traceback) <= 32 * 1024
    assert "Traceback" in error.traceback


def test_endless_recursion_is_a_failure(attempt: Attempt) -> None:
    @job
    def recurses() -> None:
        def again() -> None:
            again()

        again()

    assert error_of(attempt.run(recurses)).type == "RecursionError"


class Rude(Exception):
    def __str__(self) -> str:
        sys.exit(3)


class Broken(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize("error", [Rude(), Broken(), ValueError("\ud800")])
def test_an_error_that_cannot_be_shown_is_still_a_failure(
    attempt: Attempt, error: Exception
) -> None:
    @job
    def raises() -> None:
        raise error

    described = error_of(attempt.run(raises))
    assert described.kind == "failed"
    assert described.message
    json.dumps(dataclasses.asdict(described), ensure_ascii=False).encode()


# --- payload and result ---------------------------------------------------------------------------


def test_a_payload_that_no_longer_fits_fails_for_good_without_a_run(attempt: Attempt) -> None:
    ran = []

    @job
    def changed(n: int) -> None:
        ran.append(n)

    finished = attempt.run(changed, {"n": "5"})
    assert finished.outcome == Outcome.FAILED_PERMANENT
    error = error_of(finished)
    assert error.type == "invalid_payload"
    assert "payload.n" in error.message
    assert ran == []


def circular() -> list[object]:
    values: list[object] = []
    values.append(values)
    return values


def deep(levels: int) -> list[object]:
    values: list[object] = []
    for _ in range(levels - 1):
        values = [values]
    return values


class Exits(dict[str, int]):
    def items(self) -> Any:
        sys.exit()


@pytest.mark.parametrize(
    "value",
    [{1, 2}, float("nan"), circular(), deep(65), deep(5000), date(2026, 1, 1), "\ud800", b"x",
     10**5000, {"a": object()}, {(1, 2): 3}, Exits(a=1)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_result_that_is_not_json_fails_for_good(attempt: Attempt, value: object) -> None:
    @job
    def returns() -> Any:
        return value

    finished = attempt.run(returns)
    assert finished.outcome == Outcome.FAILED_PERMANENT
    assert error_of(finished).type == "result_not_json"


def test_a_result_may_have_a_mebibyte_and_no_more(attempt: Attempt) -> None:
    @job
    def returns(size: int) -> str:
        return "x" * size

    assert attempt.run(returns, {"size": MAX_RESULT_BYTES - 2}).outcome == Outcome.DONE
    finished = attempt.run(returns, {"size": MAX_RESULT_BYTES - 1})
    assert finished.outcome == Outcome.FAILED_PERMANENT
    assert error_of(finished).type == "result_too_large"


def test_integers_survive_digit_for_digit(attempt: Attempt) -> None:
    @job
    def echoes(value: Any, typed: int) -> object:
        return [value, typed]

    big = 10**4299 + 7
    assert attempt.run(echoes, {"value": 2**70, "typed": -big}).result == f"[{2**70},-{big}]"

"""The context a running handler has: what it tells, what it passes on, and that it never raises."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from orpheus import Context, job
from orpheus.domain.attempt import Outcome
from tests.worker.attempts import ATTEMPT_ID, Attempt, signals_restored


@pytest.fixture(autouse=True)
def _restore_signals() -> Iterator[None]:
    with signals_restored():
        yield


@pytest.fixture
def attempt() -> Attempt:
    return Attempt()


class Unprintable:
    def __str__(self) -> str:
        raise ValueError


def test_the_context_says_which_run_this_is(attempt: Attempt) -> None:
    @job
    def tells(ctx: Context) -> list[object]:
        return [ctx.job_id, ctx.type, ctx.attempt, ctx.cancelled, ctx.deadline.isoformat()]

    result = attempt.run(tells, timeout=90).result
    assert result == '[7,"tells",2,false,"2023-11-14T22:14:50+00:00"]'


def test_check_raises_once_the_time_is_up(attempt: Attempt) -> None:
    @job
    def works(ctx: Context) -> None:
        ctx.check()
        attempt.clock.advance(61)
        ctx.check()

    assert attempt.run(works, timeout=60).outcome == Outcome.TIMED_OUT


def test_check_raises_once_cancelled(attempt: Attempt) -> None:
    @job
    def works(ctx: Context) -> None:
        ctx.check()
        attempt.slot.cancel = ATTEMPT_ID
        assert ctx.cancelled
        ctx.check()

    assert attempt.run(works).outcome == Outcome.CANCELLED


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.05, 0.09, 0.1, 0.13, 0.3])
def test_progress_is_sent_ten_times_a_second_at_most_and_the_last_always(
    attempt: Attempt, pause: float
) -> None:
    @job
    def reports(ctx: Context) -> None:
        for step in range(200):
            ctx.progress(step + 1, 200)
            attempt.clock.advance(pause)

    attempt.run(reports)
    records = attempt.sink.records
    assert records[-1].fields == {"value": 1.0, "current": 200, "total": 200}
    for first in records:
        within = [r for r in records if first.at <= r.at < first.at + 1_000_000]
        assert len(within) <= 10
    if pause >= 0.13:
        assert len(records) == 200


def test_progress_takes_what_it_can_and_never_raises(attempt: Attempt) -> None:
    @job
    def reports(ctx: Context) -> None:
        report: Callable[..., None] = ctx.progress
        for current, total in [
            (1, 0), (1, -1), ("1", 2), (1, None), (float("nan"), 1), (1, float("inf")), (10**400, 1)
        ]:  # fmt: skip
            report(current, total)
        report(5, 4, "over\ud800")

    finished = attempt.run(reports)
    assert finished.outcome == Outcome.DONE
    *warnings, last = attempt.sink.records
    assert {record.level for record in warnings} == {"warning"}
    assert len(warnings) == 7
    assert (last.kind, last.fields["value"], last.message) == ("progress", 1.0, r"over\ud800")


def test_log_lines_carry_level_and_plain_fields(attempt: Attempt) -> None:
    @job
    def logs(ctx: Context) -> None:
        ctx.log.debug("d")
        ctx.log.warning("w", n=1, text="\ud800", many=[1, {"a": None}], odd={1}, nan=float("nan"))
        ctx.log.error("e")
        ctx.log.critical("c")
        ctx.log.info("x" * 10_000, worse=Unprintable())

    assert attempt.run(logs).outcome == Outcome.DONE
    records = attempt.sink.records
    assert [record.level for record in records] == ["debug", "warning", "error", "critical", "info"]
    assert records[1].fields == {
        "n": 1,
        "text": r"\ud800",
        "many": [1, {"a": None}],
        "odd": "{1}",
        "nan": "nan",
    }
    assert len(records[-1].message) <= 4096
    assert "Unprintable" in str(records[-1].fields["worse"])

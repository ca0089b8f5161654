"""A campaign can be repeated, and passes only where every wave came to rest, in time."""

from __future__ import annotations

from random import Random

import pytest

from tests.chaos.blows import RESTARTS, SECOND_POOL, schedule
from tests.chaos.campaign import share
from tests.chaos.report import Report, too_slow
from tests.chaos.times import API, HINDERED, MASTER, WORKER, Times
from tests.chaos.wave import Verdict


def test_a_seed_fixes_the_schedule() -> None:
    first, again = (schedule(Random(7), 20, 5, 0.3) for _ in range(2))
    assert first == again
    assert first != schedule(Random(8), 20, 5, 0.3)


def test_a_schedule_has_what_was_asked_for() -> None:
    names = [blow.what for blow in schedule(Random(7), 20, 5, 0.3, supervised=True)]
    assert sum(name.startswith("kill") for name in names) == 20
    assert sum(name.startswith("stop") for name in names) == 5
    assert set(RESTARTS) <= set(names)
    assert [name for name in names if name.endswith("second")] == list(SECOND_POOL)


def test_the_waves_share_everything() -> None:
    assert sum(share(1000, 23, number) for number in range(1, 24)) == 1000


@pytest.mark.parametrize(
    ("what", "seconds", "said"),
    [
        (WORKER, [0.01, 0.11, 0.12], "p50 0.110 s, allowed 0.1 s"),
        (WORKER, [0.01, 0.02, 1.01], "max 1.010 s, allowed 1 s"),
        (MASTER, [1.0, 5.1], "max 5.100 s, allowed 5 s"),
        (API, [1.0, 5.1], "max 5.100 s, allowed 5 s"),
    ],
)
def test_too_slow_is_a_problem(what: str, seconds: list[float], said: str) -> None:
    assert too_slow(Times({what: seconds})) == [f"{what}: {said}"]


def test_what_several_blows_delayed_has_no_limit() -> None:
    assert too_slow(Times({WORKER + HINDERED: [9.0], API: [4.9]})) == []


@pytest.mark.parametrize(
    ("verdict", "code", "said"),
    [
        (Verdict(), 0, "nothing lost, twice, wrong or out of order"),
        (Verdict(["job 1 is lost"]), 1, "--seed 5 --wave 3): job 1 is lost"),
        (Verdict(inconclusive="in vain"), 1, "INCONCLUSIVE: in vain"),
        (Verdict(times=Times({API: [6.0]})), 1, "max 6.000 s, allowed 5 s"),
    ],
)
def test_the_report_says_so_and_so_does_its_exit_code(
    verdict: Verdict, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    report = Report(seed=5, kills=100, stops=10, pause=0.3)
    report.add(3, verdict, "")
    assert report.finish() == code
    assert said in capsys.readouterr().out

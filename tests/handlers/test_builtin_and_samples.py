"""The job types that come with Orpheus, run inline; the crashing one in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from orpheus import JobCancelled, PermanentError
from orpheus.errors import InvalidRequest
from orpheus.handlers.builtin import sum_range, wordcount
from orpheus.handlers.samples import asleep, countdown, fail, flaky, sleep
from orpheus.testing import FakeContext, run


@pytest.mark.parametrize("n", [0, 1, 2, 100, 100_000])
def test_sum_range_sums_one_to_n(n: int) -> None:
    assert run(sum_range, {"n": n}) == {"sum": n * (n + 1) // 2}


@pytest.mark.parametrize("n", [-1, 10**10 + 1, "5", 5.0, True, None])
def test_sum_range_knows_its_range(n: object) -> None:
    with pytest.raises(InvalidRequest):
        run(sum_range, {"n": n})


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ("  \n", 0), ("one", 1), (" a  b\tc\nd ", 4), ("x\u2003y", 2), ("don't", 1)],
)  # fmt: skip
def test_wordcount_counts_what_white_space_separates(text: str, count: int) -> None:
    assert run(wordcount, {"text": text}) == {"count": count}


def test_sleepers_sleep() -> None:
    assert run(sleep, {"seconds": 0.01}) == {"slept": 0.01}
    assert run(asleep, {"seconds": 0.01}) == {"slept": 0.01}


def test_sleep_looks_up_for_a_cancel() -> None:
    with pytest.raises(JobCancelled):
        run(sleep, {"seconds": 3600}, FakeContext(cancelled=True))


def test_flaky_fails_its_first_attempts() -> None:
    for attempt in (1, 2):
        with pytest.raises(RuntimeError):
            run(flaky, {"failures": 2}, FakeContext(attempt=attempt))
    assert run(flaky, {"failures": 2}, FakeContext(attempt=3)) == {"attempt": 3}


def test_fail_fails_as_asked() -> None:
    with pytest.raises(RuntimeError, match="asked to fail"):
        run(fail)
    with pytest.raises(PermanentError, match="never"):
        run(fail, {"message": "never", "permanent": True})


def test_countdown_tells_how_far_it_is() -> None:
    context = FakeContext()
    assert run(countdown, {"steps": 2}, context) == {"counted": 2}
    assert context.progressed == [(1, 2, "1 to go"), (2, 2, "0 to go")]
    assert [fields for _, _, fields in context.log.lines] == [{"left": 2}, {"left": 1}]


@pytest.mark.processes
@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("exit", 3),
        ("segv", -signal.SIGSEGV),
        ("abort", -signal.SIGABRT),
        ("kill", -signal.SIGKILL),
    ],
)
def test_crash_ends_its_process(how: str, code: int) -> None:
    source = f"from orpheus.handlers.samples import crash; crash({how!r})"
    finished = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    assert finished.returncode == code

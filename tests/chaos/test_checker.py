"""The checker finds each kind of defect in a small made-up history, and none in a right one."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import pytest

from tests.chaos.checker import problems, recovered
from tests.chaos.clients import Submission
from tests.chaos.evidence import Beat, Evidence, Feed, Row

KILLED = 100
OTHER = 101


def job(job_id: int, number: int, **changes: object) -> Row:
    return {
        "id": job_id,
        "number": number,
        "type": "double",
        "queue": "default",
        "state": "done",
        "payload": f'{{"n": {number}}}',
        "result": str(2 * number),
        "error": None,
        "attempt": 1,
        "retries": 0,
        "crashes": 0,
        "max_retries": 3,
        "max_crashes": 3,
        **changes,
    }


def attempt(job_id: int, number: int, outcome: str = "done", pid: int = OTHER) -> Row:
    return {"job_id": job_id, "number": number, "outcome": outcome, "pid": pid, "error": None}


def event(seq: int, name: str, job_id: int | None) -> Row:
    return {"seq": seq, "event": name, "job_id": job_id}


def right() -> Evidence:
    """Job 1 was done at once; job 2 crashed once, by our hand, was interrupted, and then done."""
    events = [event(1, "job.done", 1), event(2, "worker.crashed", None), event(3, "job.done", 2)]
    shown = [
        {"seq": one["seq"], "event": one["event"], "job": {"id": one["job_id"]}}
        if one["job_id"]
        else {"seq": one["seq"], "event": one["event"]}
        for one in events
    ]
    return Evidence(
        jobs=[job(1, 10), job(2, 20, attempt=3, crashes=1)],
        attempts=[
            attempt(1, 1),
            attempt(2, 1, "crashed", KILLED),
            attempt(2, 2, "interrupted"),
            attempt(2, 3),
        ],
        events=events,
        counters={("default", "double", "done"): 2},
        trace=[
            Beat(1, OTHER, 1, 1, "begin"),
            Beat(2, OTHER, 1, 1, "end"),
            Beat(3, KILLED, 2, 1, "begin"),
            Beat(4, OTHER, 2, 3, "begin"),
            Beat(5, OTHER, 2, 3, "end"),
        ],
        submissions=[
            Submission("a", [10], 0.0, 1.0, [1]),
            Submission("b", [20], 0.0),
            Submission("c", [30], 0.0),
        ],
        feeds=[Feed(shown, 3)],
        deadly={KILLED},
    )


def test_a_right_history_has_no_problem() -> None:
    assert problems(right()) == []


def test_what_was_never_acknowledged_may_be_there_or_not() -> None:
    assert recovered(right()) == 1


def _lose(evidence: Evidence) -> None:
    del evidence.jobs[0], evidence.attempts[0], evidence.trace[:2]
    evidence.counters = {("default", "double", "done"): 1}


def _exchange(evidence: Evidence) -> None:
    evidence.submissions[0].ids = [2]


def _invent(evidence: Evidence) -> None:
    del evidence.submissions[1]


def _tear(evidence: Evidence) -> None:
    evidence.submissions[1].numbers = [20, 21]


def _store_twice(evidence: Evidence) -> None:
    evidence.jobs.append(job(3, 10))


def _fail(evidence: Evidence) -> None:
    evidence.jobs[0] |= {"state": "failed", "result": None}


def _miscalculate(evidence: Evidence) -> None:
    evidence.jobs[0]["result"] = "21"


def _overlap(evidence: Evidence) -> None:
    evidence.trace.append(Beat(4, KILLED, 2, 1, "beat"))


def _forget_an_attempt(evidence: Evidence) -> None:
    evidence.trace.insert(0, Beat(0, KILLED, 1, 7, "begin"))


def _skip_the_handler(evidence: Evidence) -> None:
    del evidence.trace[:2]


def _crash_unkilled(evidence: Evidence) -> None:
    evidence.deadly.clear()


def _end_otherwise(evidence: Evidence) -> None:
    evidence.attempts[2]["outcome"] = "failed"


def _leave_a_gap(evidence: Evidence) -> None:
    del evidence.attempts[2]


def _count_one_more(evidence: Evidence) -> None:
    evidence.jobs[0]["attempt"] = 2


def _burn_a_retry(evidence: Evidence) -> None:
    evidence.jobs[1]["retries"] = 1


def _burn_a_crash(evidence: Evidence) -> None:
    evidence.jobs[1]["crashes"] = 2


def _end_twice(evidence: Evidence) -> None:
    evidence.events.append(event(4, "job.failed", 1))


def _never_end(evidence: Evidence) -> None:
    evidence.events[0]["event"] = "job.pending"


def _miscount(evidence: Evidence) -> None:
    evidence.counters["default", "double", "pending"] = 1


def _drop_an_event(evidence: Evidence) -> None:
    del evidence.events[1]


def _miss_in_the_feed(evidence: Evidence) -> None:
    del evidence.feeds[0].events[1]


def _see_twice(evidence: Evidence) -> None:
    evidence.feeds[0].events.append(evidence.feeds[0].events[-1])


def _see_out_of_order(evidence: Evidence) -> None:
    evidence.feeds[0].events.reverse()


def _see_another(evidence: Evidence) -> None:
    evidence.feeds[0].events[0]["event"] = "job.failed"


def _reset(evidence: Evidence) -> None:
    evidence.feeds[0].resets = 1


def _fall_behind(evidence: Evidence) -> None:
    evidence.feeds[0].finished = False


def _stray(evidence: Evidence) -> None:
    evidence.stray_payloads = 2


def _corrupt(evidence: Evidence) -> None:
    evidence.integrity = "row 3 missing from index"


def _refuse(evidence: Evidence) -> None:
    evidence.submissions[0].complaints.append("refused: HTTP 500")


def _end_with_70(evidence: Evidence) -> None:
    evidence.oddities.append("api ended with 70")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_lose, "job 1 is lost (a)"),
        (_exchange, "job 2 is lost (a)"),
        (_invent, "job 2 is unexpected"),
        (_tear, "b: 1 of 2 jobs are there"),
        (_store_twice, "number 10 is stored as jobs [1, 3]"),
        (_fail, "job 1 ended failed"),
        (_miscalculate, "job 1 has 21, not 20"),
        (_overlap, "job 2: (1, 100) and (3, 101) overlap"),
        (_forget_an_attempt, "job 1: attempt 7 ran in 100 and is not on record"),
        (_skip_the_handler, "job 1 is done and never ran"),
        (_crash_unkilled, "job 2 attempt 1 crashed in 100, which nobody killed"),
        (_end_otherwise, "job 2 attempt 2 ended failed"),
        (_leave_a_gap, "job 2 at attempt 3 has [1, 3]"),
        (_count_one_more, "job 1 at attempt 2 has [1]"),
        (_burn_a_retry, "job 2 has spent 1 retries and 1 crashes, its attempts 0 and 1"),
        (_burn_a_crash, "job 2 has spent 0 retries and 2 crashes, its attempts 0 and 1"),
        (_end_twice, "job 1 ended 2 times"),
        (_never_end, "job 1 ended 0 times"),
        (_miscount, "!= recount"),
        (_drop_an_event, "events: 1 missing, first 2"),
        (_miss_in_the_feed, "reader 0: 1 missing, first 2"),
        (_see_twice, "reader 0: 1 seen twice, first 3"),
        (_see_out_of_order, "reader 0: out of order"),
        (_see_another, "reader 0: event 1 is ('job.failed', 1), stored ('job.done', 1)"),
        (_reset, "reader 0 was reset 1 times"),
        (_fall_behind, "reader 0 never saw event 3"),
        (_corrupt, "integrity: row 3 missing"),
        (_stray, "2 payloads belong to nobody"),
        (_refuse, "a: refused: HTTP 500"),
        (_end_with_70, "api ended with 70"),
    ],
)
def test_the_checker_finds(damage: Callable[[Evidence], None], said: str) -> None:
    evidence = deepcopy(right())
    damage(evidence)
    found = problems(evidence)
    assert any(said in problem for problem in found), found

"""Holds clients, database, traces and feeds against one another; each kind of defect apart.

Nothing is trusted alone: a job is lost if a client was told of it, unexpected if no client asked
for it, an attempt crashed only if we killed its process.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import pairwise

from tests.chaos.evidence import Evidence, Feed, Row

_ENDINGS = ("job.done", "job.failed", "job.cancelled")
_SHOWN = 5


def problems(evidence: Evidence) -> list[str]:
    """Everything that breaks a promise; of each kind the first few, and how many there are."""
    found: list[str] = []
    for check in CHECKS:
        one = check(evidence)
        found += one[:_SHOWN]
        if len(one) > _SHOWN:
            found.append(f"... and {len(one) - _SHOWN} more like it")
    return found


def recovered(evidence: Evidence) -> int:
    """Jobs that are there although nobody was told: allowed, and good to know."""
    there = {job["number"] for job in evidence.jobs}
    return sum(
        number in there
        for submission in evidence.submissions
        if submission.ids is None
        for number in submission.numbers
    )


def broken_file(evidence: Evidence) -> list[str]:
    return [] if evidence.integrity == "ok" else [f"integrity: {evidence.integrity}"]


def strays(evidence: Evidence) -> list[str]:
    """Payloads that were written ahead of jobs and are neither theirs nor known to be left."""
    n = evidence.stray_payloads
    return [f"{n} payloads belong to nobody"] if n else []


def odd_ends(evidence: Evidence) -> list[str]:
    return list(evidence.oddities)


def odd_answers(evidence: Evidence) -> list[str]:
    return [
        f"{submission.key}: {complaint}"
        for submission in evidence.submissions
        for complaint in submission.complaints
    ]


def lost(evidence: Evidence) -> list[str]:
    """Acknowledged, and not there under the number that was given."""
    there = {job["id"]: job["number"] for job in evidence.jobs}
    return [
        f"job {job_id} is lost ({submission.key})"
        for submission in evidence.submissions
        for job_id, number in zip(submission.ids or (), submission.numbers, strict=False)
        if there.get(job_id) != number
    ]


def torn(evidence: Evidence) -> list[str]:
    """A batch is there as a whole or not at all, and so is its acknowledgement."""
    there = {job["number"] for job in evidence.jobs}
    found = []
    for submission in evidence.submissions:
        present = sum(number in there for number in submission.numbers)
        if present not in (0, len(submission.numbers)):
            found.append(f"{submission.key}: {present} of {len(submission.numbers)} jobs are there")
        if submission.ids is not None and len(submission.ids) != len(submission.numbers):
            found.append(f"{submission.key}: {len(submission.ids)} ids were given")
    return found


def unexpected(evidence: Evidence) -> list[str]:
    """In the database, and nobody asked for it."""
    invoked = {number for submission in evidence.submissions for number in submission.numbers}
    return [
        f"job {job['id']} is unexpected: {job['type']} {job['payload']}"
        for job in evidence.jobs
        if job["id"] not in evidence.before and job["number"] not in invoked
    ]


def twice(evidence: Evidence) -> list[str]:
    """One key, one job each."""
    stored: dict[int, list[int]] = defaultdict(list)
    for job in evidence.jobs:
        if job["id"] not in evidence.before:
            stored[job["number"]].append(job["id"])
    return [f"number {n} is stored as jobs {ids}" for n, ids in stored.items() if len(ids) > 1]


def wrong(evidence: Evidence) -> list[str]:
    """`double` never fails, whatever happens to its workers."""
    found = []
    for job in _attacked(evidence):
        if job["state"] != "done":
            found.append(f"job {job['id']} ended {job['state']}: {job['error']}")
        elif json.loads(job["result"]) != 2 * job["number"]:
            found.append(f"job {job['id']} has {job['result']}, not {2 * job['number']}")
    return found


def overlapping(evidence: Evidence) -> list[str]:
    """No sign of life of an attempt after a later one of the job has begun."""
    runs: dict[int, dict[tuple[int, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for beat in evidence.trace:
        runs[beat.job_id][beat.attempt, beat.pid].append(beat.at)
    found = []
    for job_id, times in runs.items():
        spans = sorted((min(at), max(at), run) for run, at in times.items())
        found += [
            f"job {job_id}: {earlier[2]} and {later[2]} overlap (attempt, pid)"
            for earlier, later in pairwise(spans)
            if earlier[1] >= later[0]
        ]
    return found


def unrecorded(evidence: Evidence) -> list[str]:
    """A handler that ran to its end must be on record as an attempt of that number and process."""
    known = {(one["job_id"], one["number"], one["pid"]) for one in evidence.attempts}
    return [
        f"job {beat.job_id}: attempt {beat.attempt} ran in {beat.pid} and is not on record"
        for beat in evidence.trace
        if beat.what == "begin" and (beat.job_id, beat.attempt, beat.pid) not in known
    ]


def never_run(evidence: Evidence) -> list[str]:
    """Done without a handler that came to its end."""
    ended = {beat.job_id for beat in evidence.trace if beat.what == "end"}
    return [
        f"job {job['id']} is done and never ran"
        for job in _attacked(evidence)
        if job["state"] == "done" and job["id"] not in ended
    ]


def groundless(evidence: Evidence) -> list[str]:
    """Outcomes that no blow explains."""
    found = []
    for one in evidence.attempts:
        if one["job_id"] in evidence.before:
            continue
        name = f"job {one['job_id']} attempt {one['number']}"
        if one["outcome"] == "crashed" and one["pid"] not in evidence.deadly:
            found.append(f"{name} crashed in {one['pid']}, which nobody killed")
        elif one["outcome"] not in ("done", "crashed", "interrupted"):
            found.append(f"{name} ended {one['outcome']}: {one['error']}")
    return found


def gaps_in_numbers(evidence: Evidence) -> list[str]:
    """Attempts are 1, 2, 3 …, and the job knows the last of them."""
    numbers: dict[int, list[int]] = defaultdict(list)
    for one in evidence.attempts:
        numbers[one["job_id"]].append(one["number"])
    return [
        f"job {job['id']} at attempt {job['attempt']} has {numbers[job['id']]}"
        for job in evidence.jobs
        if sorted(numbers[job["id"]]) != list(range(1, job["attempt"] + 1))
    ]


def burned(evidence: Evidence) -> list[str]:
    """Retries and crashes are what the outcomes say; an interruption spends neither."""
    spent: dict[int, Counter[str]] = defaultdict(Counter)
    for one in evidence.attempts:
        spent[one["job_id"]][one["outcome"]] += 1
    found = []
    for job in evidence.jobs:
        outcomes = spent[job["id"]]
        retries = min(outcomes["failed"] + outcomes["timed_out"], job["max_retries"])
        crashes = min(outcomes["crashed"], job["max_crashes"])
        if (job["retries"], job["crashes"]) != (retries, crashes):
            found.append(
                f"job {job['id']} has spent {job['retries']} retries and {job['crashes']} crashes, "
                f"its attempts {retries} and {crashes}"
            )
    return found


def endings(evidence: Evidence) -> list[str]:
    """Each job ends once."""
    ended = Counter(event["job_id"] for event in evidence.events if event["event"] in _ENDINGS)
    return [
        f"job {job['id']} ended {ended[job['id']]} times"
        for job in evidence.jobs
        if ended[job["id"]] != 1
    ]


def miscounted(evidence: Evidence) -> list[str]:
    recount = Counter((job["queue"], job["type"], job["state"]) for job in evidence.jobs)
    if recount == evidence.counters:
        return []
    return [f"counters {evidence.counters} != recount {dict(recount)}"]


def gaps_in_events(evidence: Evidence) -> list[str]:
    """The numbers of the stored events have no holes."""
    seqs = [event["seq"] for event in evidence.events]
    return _difference("events", seqs, list(range(1, len(seqs) + 1)))


def feeds_differ(evidence: Evidence) -> list[str]:
    """Each reader has seen every event once, in order, as it is stored."""
    found = []
    for number, feed in enumerate(evidence.feeds):
        name = f"reader {number}"
        stored = [event for event in evidence.events if event["seq"] <= feed.last]
        found += _difference(name, _seqs(feed), [event["seq"] for event in stored])
        if not feed.finished:
            found.append(f"{name} never saw event {feed.last}")
        if feed.resets:
            found.append(f"{name} was reset {feed.resets} times")
        by_seq = {event["seq"]: _what(event, event["job_id"]) for event in stored}
        found += [
            f"{name}: event {seen['seq']} is {shown}, stored {by_seq[seen['seq']]}"
            for seen in feed.events
            if seen["seq"] in by_seq
            and (shown := _what(seen, (seen.get("job") or {}).get("id"))) != by_seq[seen["seq"]]
        ]
    return found


CHECKS: tuple[Callable[[Evidence], list[str]], ...] = (
    broken_file,
    strays,
    odd_ends,
    odd_answers,
    lost,
    torn,
    unexpected,
    twice,
    wrong,
    overlapping,
    unrecorded,
    never_run,
    groundless,
    gaps_in_numbers,
    burned,
    endings,
    miscounted,
    gaps_in_events,
    feeds_differ,
)


def _attacked(evidence: Evidence) -> list[Row]:
    return [job for job in evidence.jobs if job["id"] not in evidence.before]


def _seqs(feed: Feed) -> list[int]:
    return [event["seq"] for event in feed.events if event["seq"] <= feed.last]


def _what(event: Row, job_id: int | None) -> tuple[str, int | None]:
    return event["event"], job_id


def _difference(name: str, seen: list[int], stored: list[int]) -> list[str]:
    """Missing, doubled, out of order: said apart."""
    if seen == stored:
        return []
    missing = sorted(set(stored) - set(seen))
    doubled = sorted(seq for seq, n in Counter(seen).items() if n > 1)
    invented = sorted(set(seen) - set(stored))
    found = []
    if missing:
        found.append(f"{name}: {len(missing)} missing, first {missing[0]}")
    if doubled:
        found.append(f"{name}: {len(doubled)} seen twice, first {doubled[0]}")
    if invented:
        found.append(f"{name}: {len(invented)} that are not stored, first {invented[0]}")
    if seen != sorted(seen):
        found.append(f"{name}: out of order")
    return found

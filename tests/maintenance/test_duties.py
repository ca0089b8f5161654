"""What maintenance does in passing: renewals, marks, cancels, output, retention."""

from __future__ import annotations

import json
import os
from collections import deque
from typing import Any

import pytest

from orpheus.clock import SECOND_NS
from orpheus.domain.attempt import Claim
from orpheus.domain.outcome import FinishedAttempt
from orpheus.ipc.output import encode_record, write_record
from orpheus.maintenance.output import Output
from orpheus.maintenance.renewals import Renewals
from orpheus.store import control
from tests.support.pools import PoolBench, begin, done


def test_renewing_extends_every_open_lease_of_the_living(bench: PoolBench) -> None:
    bench.submit(2)
    pool = bench.pool()
    lane = bench.lane(pool, lambda claim: done(claim, bench))
    lane._turn(10)
    before = bench.query("SELECT lease_expires FROM attempts")
    bench.clock.ahead += 5
    Renewals(pool).renew()
    after = bench.query("SELECT lease_expires FROM attempts")
    assert all(new[0] - old[0] >= 5 * SECOND_NS for old, new in zip(before, after, strict=True))


def test_a_gap_in_our_own_renewals_forbids_judging_others_for_a_lease(bench: PoolBench) -> None:
    renewals = Renewals(bench.pool())
    lease = bench.settings.lease_seconds
    renewals.renew()
    assert not renewals.unbroken_for_a_lease()
    for _ in range(4):
        bench.clock.ahead += lease / 3
        renewals.renew()
    assert renewals.unbroken_for_a_lease()
    bench.clock.ahead += 3 * lease
    renewals.renew()
    assert not renewals.unbroken_for_a_lease()


def test_a_wait_at_the_gate_is_a_gap_too(bench: PoolBench, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = bench.pool()
    renewals = Renewals(pool)
    lease = bench.settings.lease_seconds
    for _ in range(5):
        renewals.renew()
        bench.clock.ahead += lease / 3
    assert renewals.unbroken_for_a_lease()

    def late(*_: Any) -> None:
        bench.clock.ahead += lease

    monkeypatch.setattr("orpheus.maintenance.renewals.renew", late)
    renewals.renew()
    assert not renewals.unbroken_for_a_lease()


def test_what_runs_for_a_while_is_marked_in_the_database(bench: PoolBench) -> None:
    bench.submit(1)
    pool = bench.pool()

    def run(claim: Claim) -> FinishedAttempt:
        begin(pool.board.slots[0], claim, bench)
        renewals = Renewals(pool)
        renewals.mark_running()
        assert bench.query("SELECT started_at FROM attempts") == [(None,)]
        bench.clock.ahead += 1
        renewals.mark_running()
        started = pool.board.slots[0].started_wall
        assert bench.query("SELECT started_at FROM attempts") == [(started,)]
        assert bench.query("SELECT started_at FROM jobs") == [(started,)]
        return done(claim, bench)

    lane = bench.lane(pool, run)
    result = lane._turn(1)
    assert result is not None
    lane._work(deque(result.claims))


def test_a_request_to_cancel_reaches_the_attempt_that_runs_and_no_other(
    bench: PoolBench,
) -> None:
    jobs = bench.submit(2)
    pool = bench.pool()
    slot = pool.board.slots[0]

    def run(claim: Claim) -> FinishedAttempt:
        begin(slot, claim, bench)
        if claim.job_id == jobs[0]:
            with bench.database.write() as tx:
                assert control.cancel(tx, jobs[1])
            Renewals(pool).relay_cancels()
            assert slot.cancel == 0
        else:
            Renewals(pool).relay_cancels()
            assert slot.cancel == claim.attempt_id
        return done(claim, bench)

    lane = bench.lane(pool, run)
    result = lane._turn(2)
    assert result is not None
    lane._work(deque(result.claims))


def test_output_is_stored_with_its_job_and_only_the_latest_progress_counts(
    bench: PoolBench,
) -> None:
    (job,) = bench.submit(1)
    pool = bench.pool()
    lane = bench.lane(pool, lambda claim: done(claim, bench))
    result = lane._turn(1)
    assert result is not None
    (claim,) = result.claims
    reading, writing = os.pipe2(os.O_NONBLOCK)
    try:
        head = (claim.job_id, claim.attempt_id, claim.number, bench.clock.now(), "warning")
        write_record(writing, encode_record("log", *head, "hot", {"degrees": 90}))
        for step in (1, 2):
            fields = {"value": step / 2, "current": step, "total": 2}
            write_record(writing, encode_record("progress", *head, f"step {step}", fields))
        output = Output(pool, reading)
        output.read()
        assert output.due() is not None
        output.store()
    finally:
        os.close(reading)
        os.close(writing)
    ((level, message, fields_text),) = bench.query("SELECT level, message, fields FROM logs")
    assert (level, message, json.loads(fields_text)) == ("warning", "hot", {"degrees": 90})
    ((progress,),) = bench.query("SELECT progress FROM jobs WHERE id = ?", job)
    assert json.loads(progress)["message"] == "step 2"
    events = bench.query("SELECT count(*) FROM events WHERE event = 'job.progress'")
    assert events == [(1,)]

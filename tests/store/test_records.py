"""Idempotency keys, the register of workers, and what handlers say."""

from __future__ import annotations

import json

import pytest

from orpheus.domain.attempt import Outcome
from orpheus.errors import RequestError
from orpheus.store import logs, workers
from orpheus.store.idempotency import IdempotencyKey, recall, remember
from orpheus.store.logs import LogLine, Progress
from orpheus.store.prune import prune_rest
from orpheus.store.submit import Submitted
from tests.support.clock import FakeClock
from tests.support.stores import Store

DAY = 24 * 3600


class TestIdempotency:
    KEY = IdempotencyKey("jobs", "key", "hash")

    def test_a_new_key_is_unknown(self, store: Store) -> None:
        with store.write() as tx:
            assert recall(tx, self.KEY) is None

    def test_the_answer_is_kept_for_a_day(self, store: Store, clock: FakeClock) -> None:
        with store.write() as tx:
            remember(tx, self.KEY, [Submitted(1, "pending")])
        clock.advance(DAY - 1)
        with store.write() as tx:
            assert recall(tx, self.KEY) == [Submitted(1, "pending")]
        clock.advance(1)
        with store.write() as tx:
            assert recall(tx, self.KEY) is None
            remember(tx, self.KEY, [Submitted(2, "pending")])
            assert recall(tx, self.KEY) == [Submitted(2, "pending")]

    @pytest.mark.parametrize(
        "submitted",
        [
            [Submitted(id_, "pending") for id_ in range(5, 9)],
            [Submitted(5, "pending"), Submitted(6, "scheduled")],
            [Submitted(5, "pending", "a"), Submitted(6, "pending", "b")],
            [Submitted(3, "in_progress", None, True), Submitted(5, "pending")],
        ],
    )
    def test_every_answer_comes_back(self, store: Store, submitted: list[Submitted]) -> None:
        with store.write() as tx:
            remember(tx, self.KEY, submitted)
            assert recall(tx, self.KEY) == submitted

    def test_a_full_batch_of_new_jobs_is_kept_in_a_few_bytes(self, store: Store) -> None:
        with store.write() as tx:
            remember(tx, self.KEY, [Submitted(id_, "pending") for id_ in range(1, 10_001)])
        assert store.value("SELECT length(answer) FROM idempotency_keys") < 100

    def test_another_body_is_a_conflict(self, store: Store, clock: FakeClock) -> None:
        other = IdempotencyKey("jobs", "key", "other")
        with store.write() as tx:
            remember(tx, self.KEY, [Submitted(1, "pending")])
            with pytest.raises(RequestError) as caught:
                recall(tx, other)
        assert caught.value.code == "idempotency_conflict"
        clock.advance(DAY)
        with store.write() as tx:
            assert recall(tx, other) is None

    def test_another_route_is_another_key(self, store: Store) -> None:
        with store.write() as tx:
            remember(tx, self.KEY, [Submitted(1, "pending")])
            assert recall(tx, IdempotencyKey("batch", "key", "other")) is None

    def test_old_keys_are_pruned(self, store: Store, clock: FakeClock) -> None:
        with store.write() as tx:
            remember(tx, self.KEY, [Submitted(1, "pending")])
        clock.advance(DAY / 2)
        with store.write() as tx:
            remember(tx, IdempotencyKey("jobs", "young", "hash"), [Submitted(1, "pending")])
        clock.advance(DAY / 2)
        with store.write() as tx:
            prune_rest(tx)
        assert store.rows("SELECT key FROM idempotency_keys") == [("young",)]


class TestWorkers:
    def test_are_named_after_pool_and_number(self, store: Store, clock: FakeClock) -> None:
        with store.write() as tx:
            assert workers.register(tx, "main", 10, 20, "boot", "sync") == (1, "main-1")
            assert workers.register(tx, "gpu", 11, 21, "boot", "async") == (2, "gpu-2")
            one, two = workers.live(tx)
        assert (one.name, one.pool, one.pid, one.start_time) == ("main-1", "main", 10, 20)
        assert (two.boot_id, two.state) == ("boot", "idle")

    def test_start_and_end_are_told_with_the_row(self, store: Store) -> None:
        with store.write() as tx:
            id_, _ = workers.register(tx, "main", 10, 20, "boot", "sync")
            assert workers.end(tx, id_, crashed=True, exit_="SIGKILL")
        rows = store.rows("SELECT event, data FROM events ORDER BY seq")
        assert [row[0] for row in rows] == ["worker.started", "worker.crashed"]
        told = json.loads(rows[1][1])["worker"]
        assert (told["worker"], told["state"], told["exit"]) == ("main-1", "crashed", "SIGKILL")

    def test_an_end_is_recorded_once(self, store: Store, clock: FakeClock) -> None:
        worker = store.worker()
        with store.write() as tx:
            workers.drain(tx, worker.id)
        with store.write() as tx:
            assert [one.state for one in workers.live(tx)] == ["draining"]
            assert workers.end(tx, worker.id, crashed=False, exit_=None)
        clock.advance(1)
        with store.write() as tx:
            assert not workers.end(tx, worker.id, crashed=True, exit_="SIGKILL")
            workers.drain(tx, worker.id)
            assert workers.live(tx) == []
        assert store.rows("SELECT state, exit FROM workers") == [("stopped", None)]
        assert store.events()[-1] == ("worker.stopped", None)

    def test_the_last_hundred_that_ended_are_kept(self, store: Store) -> None:
        living = store.worker()
        for _ in range(103):
            with store.write() as tx:
                id_, _ = workers.register(tx, "main", 1, 1, "boot", "sync")
                workers.end(tx, id_, crashed=False, exit_=None)
        with store.write() as tx:
            prune_rest(tx)
        kept = [row[0] for row in store.rows("SELECT id FROM workers ORDER BY id")]
        assert kept == [living.id, *range(5, 105)]

    def test_a_number_is_never_given_again(self, store: Store) -> None:
        worker = store.worker()
        with store.write() as tx:
            tx.connection.execute("DELETE FROM workers")
        assert store.worker().id == worker.id + 1


class TestLogs:
    def test_are_kept_in_order(self, store: Store) -> None:
        job_id = store.add()
        lines = [
            LogLine(job_id, 1, 10, "info", "one"),
            LogLine(job_id, 1, 9, "error", "two", '{"x":1}', "stderr"),
        ]
        with store.write() as tx:
            logs.append(tx, lines)
        assert store.rows(
            "SELECT attempt, at, level, stream, message, fields FROM logs ORDER BY seq"
        ) == [(1, 10, "info", "log", "one", "{}"), (1, 9, "error", "stderr", "two", '{"x":1}')]

    def test_of_a_deleted_job_are_dropped(self, store: Store) -> None:
        job_id = store.add()
        with store.write() as tx:
            logs.append(
                tx,
                [LogLine(99, 1, 1, "info", "gone"), LogLine(job_id, 1, 1, "info", "here")],
            )
        assert store.rows("SELECT message FROM logs") == [("here",)]


class TestProgress:
    def test_is_the_jobs_latest_and_told(self, store: Store) -> None:
        job_id = store.add()
        attempt_id = store.worker().claim_one().attempt_id
        with store.write() as tx:
            logs.set_progress(
                tx, [Progress(job_id, attempt_id, f'{{"value":{v}}}') for v in (0.5, 1)]
            )
        assert store.job(job_id)["progress"] == '{"value":1}'
        assert store.rows(
            "SELECT data ->> '$.progress.value', state, attempt FROM events"
            " WHERE event = 'job.progress'"
        ) == [(0.5, "in_progress", 1), (1, "in_progress", 1)]

    def test_may_come_a_little_after_the_end(self, store: Store) -> None:
        """Output is stored later than results are settled; the last word still counts."""
        job_id = store.add()
        worker = store.worker()
        attempt_id = worker.claim_one().attempt_id
        worker.finish(attempt_id)
        with store.write() as tx:
            logs.set_progress(tx, [Progress(job_id, attempt_id, '{"value":1}')])
        job = store.job(job_id)
        assert (job["state"], job["progress"]) == ("done", '{"value":1}')

    @pytest.mark.parametrize("end", ["released", "claimed again", "of another job"])
    def test_of_a_stale_attempt_is_dropped(self, store: Store, end: str) -> None:
        job_id = store.add()
        worker = store.worker()
        attempt_id = worker.claim_one().attempt_id
        if end == "released":
            worker.release(attempt_id)
        elif end == "claimed again":
            worker.die()
            store.worker().claim_one()
        else:
            job_id = store.add()
        before = store.dump()
        with store.write() as tx:
            logs.set_progress(tx, [Progress(job_id, attempt_id, "{}")])
        assert store.dump() == before

    def test_starts_anew_with_the_next_attempt(self, store: Store) -> None:
        job_id = store.add()
        worker = store.worker()
        attempt_id = worker.claim_one().attempt_id
        with store.write() as tx:
            logs.set_progress(tx, [Progress(job_id, attempt_id, "{}")])
        worker.finish(attempt_id, Outcome.INTERRUPTED)
        worker.claim_one()
        assert store.job(job_id)["progress"] is None

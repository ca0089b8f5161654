"""Payloads of large submits are written ahead, in short transactions, and are all or none with
their jobs."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orpheus.domain.job import JobState
from orpheus.errors import StoreBusy
from orpheus.settings import Settings
from orpheus.store import control, prune
from orpheus.store.database import Database
from orpheus.store.job_shape import JOB, job_view
from orpheus.store.staging import LARGE, Staged, discard, stage
from orpheus.store.submit import Submitted, submit
from orpheus.store.submit_alike import Run, submit_alike
from tests.store.writer_peer import Peer, started, wire
from tests.support.clock import FakeClock
from tests.support.stores import MAX_PENDING, Store, new_job, settings_at

MIB = 1024 * 1024
HOUR = 3600


def texts(count: int, size: int) -> list[str]:
    """Payloads that differ, and are JSON."""
    return [json.dumps({"n": n, "text": "x" * size}) for n in range(count)]


def leftovers(store: Store) -> tuple[int, int]:
    """Payloads and parts in the file."""
    return (
        store.value("SELECT count(*) FROM payloads"),
        store.value("SELECT count(*) FROM staged"),
    )


def submit_one_by_one(store: Store, payloads: list[str], staged: Staged) -> list[int]:
    with store.write() as tx:
        jobs = [new_job(payload=payload) for payload in payloads]
        return [one.id for one in submit(tx, jobs, MAX_PENDING, staged)]


def submit_together(store: Store, payloads: list[str], staged: Staged) -> list[int]:
    with store.write() as tx:
        run = Run(new_job(), payloads, len(payloads))
        first, _ = submit_alike(tx, run, MAX_PENDING, staged)
    return list(range(first, first + len(payloads)))


@pytest.fixture(params=[submit_one_by_one, submit_together])
def submit_staged(request: pytest.FixtureRequest) -> Callable[..., list[int]]:
    made: Callable[..., list[int]] = request.param
    return made


def shown(store: Store, job_id: int) -> dict[str, Any]:
    cursor = store.database.connection.execute(JOB, (job_id,))
    names = [column[0] for column in cursor.description]
    row = dict(zip(names, cursor.fetchone(), strict=True))
    return job_view(row, row["attempts"])


def test_its_jobs_are_shown_and_claimed_like_others(
    store: Store, submit_staged: Callable[..., list[int]]
) -> None:
    payloads = texts(600, 4000)
    store.add(payload='{"first":1}')
    ids = submit_staged(store, payloads, stage(store.database, payloads))
    store.add(payload='{"last":1}')
    assert [shown(store, id_)["payload"] for id_ in ids] == list(map(json.loads, payloads))
    claimed = store.worker().claim(700)
    assert [claim.payload for claim in claimed] == ['{"first":1}', *payloads, '{"last":1}']
    assert leftovers(store) == (600, 0)
    # Nothing of them is in the jobs, which would be written again with each change of state.
    assert store.value("SELECT sum(length(payload)) FROM jobs") == len('{"first":1}{"last":1}')


def test_each_part_is_a_short_transaction_of_its_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered: list[int] = []
    use = store.database.gate.transaction

    def noting(*arguments: Any) -> Any:
        entered.append(store.value("SELECT total(length(payload)) FROM payloads"))
        return use(*arguments)

    monkeypatch.setattr(store.database.gate, "transaction", noting)
    sizes = [100_000] * 30 + [3 * MIB] + [10] * 1000
    staged = stage(store.database, [json.dumps("x" * (size - 2)) for size in sizes])
    entered.append(store.value("SELECT total(length(payload)) FROM payloads"))
    written = [after - before for before, after in itertools.pairwise(entered)]
    assert sum(written) == sum(sizes)
    # One payload may be larger by itself.
    assert sorted(written)[-1] == 3 * MIB
    assert sorted(written)[-2] <= MIB
    assert len(staged.parts) == len(written)


def test_the_log_is_copied_back_on_the_way(store: Store) -> None:
    """Else a checkpoint of it all would follow, as long as what was cut in parts."""
    stage(store.database, texts(160, 100_000))
    assert store.database.log.used() < 6 * MIB


def test_others_have_their_turn_between_the_parts(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    tended = store.database.log.tend
    seen: list[int] = []

    def submit_meanwhile(*arguments: Any, **options: Any) -> None:
        tended(*arguments, **options)
        seen.append(store.add())

    monkeypatch.setattr(store.database.log, "tend", submit_meanwhile)
    payloads = texts(40, 100_000)
    staged = stage(store.database, payloads)
    assert len(seen) >= 4
    ids = submit_one_by_one(store, payloads, staged)
    assert min(ids) > max(seen)
    assert shown(store, ids[-1])["payload"]["n"] == 39


def test_a_payload_that_no_job_wants_is_deleted(store: Store) -> None:
    holder = store.add(unique_key="held")
    payloads = texts(3, 10)
    keys = ("held", None, "twice")
    staged = stage(store.database, [*payloads, payloads[2]])
    jobs = [
        new_job(payload=text, unique_key=key)
        for text, key in zip([*payloads, payloads[2]], (*keys, "twice"), strict=True)
    ]
    with store.write() as tx:
        answers = submit(tx, jobs, MAX_PENDING, staged)
    assert answers == [
        Submitted(holder, "pending", None, True),
        Submitted(holder + 1, "pending"),
        Submitted(holder + 2, "pending"),
        Submitted(holder + 2, "pending", None, True),
    ]
    assert [shown(store, holder + n)["payload"]["n"] for n in (1, 2)] == [1, 2]
    assert leftovers(store) == (2, 0)


def test_its_payload_goes_with_a_job(store: Store, clock: FakeClock) -> None:
    payloads = texts(3, 10)
    ids = submit_one_by_one(store, payloads, stage(store.database, payloads))
    store.add()
    worker = store.worker()
    for claim in worker.claim(2):
        worker.finish(claim.attempt_id)
    with store.write() as tx:
        control.delete(tx, ids[0])
    assert leftovers(store) == (2, 0)
    clock.advance(10)
    with store.write() as tx:
        prune.prune_jobs(tx, JobState.DONE, tx.now)
    assert leftovers(store) == (1, 0)
    assert shown(store, ids[2])["payload"]["n"] == 2


class TestGivenUp:
    """A process may die between the payloads and their jobs, or never come to the jobs."""

    def prune(self, store: Store) -> None:
        with store.write() as tx:
            prune.prune_rest(tx)

    def test_what_was_given_up_is_deleted_after_an_hour(
        self, store: Store, clock: FakeClock
    ) -> None:
        stage(store.database, texts(30, 100_000))
        clock.advance(HOUR - 1)
        self.prune(store)
        assert leftovers(store) == (30, 3)
        clock.advance(2)
        self.prune(store)
        assert leftovers(store) == (0, 0)

    def test_a_submit_that_was_given_up_is_refused_and_writes_nothing(
        self, store: Store, clock: FakeClock, submit_staged: Callable[..., list[int]]
    ) -> None:
        payloads = texts(30, 100_000)
        staged = stage(store.database, payloads)
        # Also where only a part of it is gone yet.
        for part in (staged.parts[:1], staged.parts):
            discard(store.database, Staged([], part))
            with pytest.raises(StoreBusy, match="send it again"):
                submit_staged(store, payloads, staged)
            assert store.rows("SELECT id FROM jobs") == []
            assert store.recount() == store.counters() == {}

    def test_the_payloads_of_jobs_are_nobody_elses_to_delete(
        self, store: Store, clock: FakeClock
    ) -> None:
        payloads = texts(3, 10)
        staged = stage(store.database, payloads)
        ids = submit_one_by_one(store, payloads, staged)
        discard(store.database, staged)
        clock.advance(2 * HOUR)
        self.prune(store)
        assert [shown(store, id_)["payload"]["n"] for id_ in ids] == [0, 1, 2]

    def test_what_does_not_get_through_the_gate_leaves_nothing(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        tend, tended = store.database.log.tend, []

        def busy_at_the_third(*arguments: Any, **options: Any) -> None:
            tended.append(1)
            if len(tended) == 3:
                raise StoreBusy("somebody is in it")
            tend(*arguments, **options)

        monkeypatch.setattr(store.database.log, "tend", busy_at_the_third)
        with pytest.raises(StoreBusy, match="somebody"):
            stage(store.database, texts(60, 100_000))
        assert leftovers(store) == (0, 0)


def test_any_mixture_of_staged_and_other_submits_keeps_each_jobs_payload(store: Store) -> None:
    rng = Random(5)
    wanted: dict[int, str] = {}
    waiting: list[tuple[list[str], Staged]] = []
    for _ in range(200):
        payloads = [json.dumps({"n": rng.random()}) for _ in range(rng.randint(1, 5))]
        step = rng.randrange(4)
        if step == 0:
            waiting.append((payloads, stage(store.database, payloads)))
        elif step == 1 and waiting:
            payloads, staged = waiting.pop(rng.randrange(len(waiting)))
            act = rng.choice((submit_one_by_one, submit_together))
            wanted.update(zip(act(store, payloads, staged), payloads, strict=True))
        elif step == 2 and waiting:
            discard(store.database, waiting.pop(rng.randrange(len(waiting)))[1])
        else:
            wanted[store.add(payload=payloads[0])] = payloads[0]
    claimed = store.worker().claim(len(wanted) + 1)
    assert {claim.job_id: claim.payload for claim in claimed} == wanted
    assert leftovers(store)[1] == len([part for _, s in waiting for part in s.parts])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path, max_pending=50)


@pytest.fixture
def peer(settings: Settings) -> Iterator[Peer]:
    with started(settings) as peer:
        peer.receive()
        yield peer


def large_batch(count: int = 30) -> dict[str, Any]:
    """A batch of three megabytes, under a key."""
    jobs = [wire(payload=text, ref=str(n)) for n, text in enumerate(texts(count, 100_000))]
    return {"jobs": jobs, "idempotency": ["batch", "key", "hash"]}


class TestTheWriter:
    def test_stages_a_large_batch(self, peer: Peer) -> None:
        answer = peer.ask("submit", **large_batch())
        assert [item["ref"] for item in answer["items"]] == [str(n) for n in range(30)]
        assert peer.rows("SELECT count(*) FROM jobs JOIN payloads ON payloads.id = payload_id") == [
            (30,)
        ]
        assert peer.rows("SELECT * FROM staged") == []

    def test_and_one_of_jobs_that_are_alike(self, peer: Peer) -> None:
        payloads = texts(30, 100_000)
        peer.ask("submit_alike", job=wire(), payloads=payloads, count=30)
        assert peer.rows("SELECT payload FROM payloads") == [(text,) for text in payloads]
        assert peer.rows("SELECT * FROM staged") == []

    def test_writes_nothing_ahead_where_the_answer_is_known(self, peer: Peer) -> None:
        first = peer.ask("submit", **large_batch())
        again = peer.ask("submit", **large_batch())
        assert again == {**first, "replayed": True, "created_at": None}
        # The queue is full for another.
        code = peer.refused("submit", **{**large_batch(), "idempotency": None})
        assert code == "queue_full"
        assert peer.rows("SELECT seq FROM sqlite_sequence WHERE name = 'payloads'") == [(30,)]

    def test_a_small_one_is_written_at_once(self, peer: Peer) -> None:
        text = json.dumps("x" * (LARGE - 100))
        peer.submit(payload=text)
        assert peer.rows("SELECT payload FROM jobs") == [(text,)]
        assert peer.rows("SELECT * FROM payloads") == []


def test_what_is_refused_after_all_is_deleted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others filled the queue while the payloads were written."""

    def fill_up(database: Database, payloads: list[str], timeout: float) -> Staged:
        staged = stage(database, payloads, timeout)
        with database.write() as tx:
            submit(tx, [new_job()] * 30, MAX_PENDING)
        return staged

    monkeypatch.setattr("orpheus.store.writer.stage", fill_up)
    with started(settings) as peer:
        peer.receive()
        assert peer.refused("submit", **large_batch()) == "queue_full"
        assert peer.rows("SELECT count(*) FROM jobs") == [(30,)]
        assert peer.rows("SELECT * FROM payloads") == []
        assert peer.rows("SELECT * FROM staged") == []
        peer.ask("submit", **large_batch(15))


def test_a_gate_that_stays_shut_is_busy_and_nothing_is_left(peer: Peer) -> None:
    database = Database(peer.settings, FakeClock())
    with database.gate.held():
        assert peer.refused("submit", **large_batch()) == "store_busy"
    database.close()
    assert peer.rows("SELECT * FROM payloads") == []
    peer.ask("submit", **large_batch())

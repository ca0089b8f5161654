"""A worker's own batch that went well is settled without a look; what it leaves is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orpheus.domain.attempt import Outcome
from orpheus.domain.job import NewJob
from orpheus.domain.outcome import FinishedAttempt
from orpheus.store.promote import promote
from orpheus.store.settle import Batch, settle
from orpheus.store.settle_plain import NotAllOpen
from tests.support.clock import FakeClock
from tests.support.stores import Store, finished, new_job, open_store


class TestAPlainBatch:
    @staticmethod
    def jobs() -> list[NewJob]:
        options: list[dict[str, Any]] = [
            {},
            {"queue": "mail"},
            {"type": "other"},
            {"priority": 3},
            {"tags": ("a",)},
        ]
        return [new_job(**options[n % 5]) for n in range(40)]

    def left_by(self, folder: Path, plain: bool) -> list[str]:
        clock = FakeClock()
        with open_store(folder, clock) as store:
            store.submit(*self.jobs())
            worker = store.worker()
            clock.advance(3)
            again = worker.claim(2)
            worker.finish(again[0].attempt_id, Outcome.FAILED)
            assert worker.release(again[1].attempt_id)
            clock.advance(400)
            with store.write() as tx:
                promote(tx)
            claims = worker.claim(40)
            ends = [
                FinishedAttempt(
                    claim.attempt_id, Outcome.DONE, clock.now() + n, clock.now() + 2 * n, f'"{n}"'
                )
                for n, claim in enumerate(claims)
            ]
            known = {claim.attempt_id: claim for claim in claims} if plain else None
            batch = Batch.of(ends, known)
            assert (batch.plain is not None) == plain
            with store.write() as tx:
                assert settle(tx, batch, store.rng).moved == 40
            assert store.counters() == store.recount()
            # A row's number tells only in which order the kinds were written.
            return sorted(line.replace("database_id", "") for line in store.dump())

    def test_leaves_what_any_other_leaves(self, tmp_path: Path) -> None:
        one = self.left_by(tmp_path / "one", plain=True)
        other = self.left_by(tmp_path / "other", plain=False)
        differing = [line for line in set(one) ^ set(other) if '"meta"' not in line]
        assert differing == []

    def test_is_plain_only_if_all_are_known_and_done(self, store: Store) -> None:
        store.submit(*[new_job()] * 2)
        claims = {claim.attempt_id: claim for claim in store.worker().claim(2)}
        done, failed = finished(1, started_at=5), finished(2, Outcome.FAILED, started_at=5)
        assert Batch.of([done], claims).plain
        assert not Batch.of([done, failed], claims).plain
        assert not Batch.of([done, finished(2, started_at=None)], claims).plain
        assert not Batch.of([done, finished(3, started_at=5)], claims).plain

    def test_is_refused_where_one_is_not_open(self, store: Store) -> None:
        store.submit(*[new_job()] * 3)
        worker = store.worker()
        claims = {claim.attempt_id: claim for claim in worker.claim(3)}
        worker.release(2)
        batch = Batch.of([finished(n, started_at=5) for n in (1, 2, 3)], claims)
        before = store.dump()
        with pytest.raises(NotAllOpen), store.write() as tx:
            settle(tx, batch, store.rng)
        assert store.dump() == before

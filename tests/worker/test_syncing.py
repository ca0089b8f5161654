"""Law 6: what is acknowledged or settled is synced; what dies with its claimant is not."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from orpheus.maintenance.renewals import Renewals
from orpheus.store.transaction import Transaction
from tests.support.pools import PoolBench, done, pool_bench

NORMAL, FULL = 1, 2


@pytest.fixture
def commits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The level each later commit of the process is made at."""
    levels: list[int] = []
    flush = Transaction.flush

    def noting(tx: Transaction) -> None:
        levels.append(tx.connection.execute("PRAGMA synchronous").fetchone()[0])
        flush(tx)

    monkeypatch.setattr(Transaction, "flush", noting)
    return levels


def test_a_settlement_is_synced_and_a_mere_claim_is_not(
    bench: PoolBench, commits: list[int]
) -> None:
    bench.submit(2)
    lane = bench.lane(bench.pool(), lambda claim: done(claim, bench), room=1)
    commits.clear()
    for _ in range(3):
        result = lane._turn(1)
        assert result is not None
        lane._work(deque(result.claims))
    # Claims one; settles it and claims the next; settles that.
    assert commits == [NORMAL, FULL, FULL]


def test_renewals_are_not_synced_and_a_submit_after_them_is(
    bench: PoolBench, commits: list[int]
) -> None:
    Renewals(bench.pool()).renew()
    bench.submit(1)
    assert commits == [NORMAL, FULL]


def test_durability_normal_syncs_no_commit(tmp_path: Path, commits: list[int]) -> None:
    with pool_bench(tmp_path / "normal", durability="normal") as bench:
        bench.submit(1)
    assert commits == [NORMAL]

"""A reader that hangs up and resumes at random sees every event once and in order."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random

import pytest

from tests.chaos.checker import feeds_differ
from tests.chaos.evidence import Evidence, Feed
from tests.chaos.feed_reader import Reader
from tests.chaos.harness import Chaos
from tests.chaos.systems import system_for_chaos
from tests.chaos.wave import drained
from tests.support.waiting import eventually

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


def kill_and_restart_the_api(chaos: Chaos) -> None:
    api = chaos.system.api
    assert api is not None
    assert chaos.strike("kill api")
    eventually(lambda: api.poll() is not None)
    chaos.system.start_api()


def test_each_event_is_seen_once_and_in_order_over_hang_ups_and_deaths_of_the_api(
    tmp_path: Path,
) -> None:
    seed = int.from_bytes(os.urandom(4), "big")
    print(f"seed {seed}")
    evidence = Evidence()
    with system_for_chaos(tmp_path) as system, system.client() as client:
        readers = [Reader(system.port, Random(seed + n)) for n in range(3)]
        for reader in readers:
            reader.start()
        batch = [{"type": "sum_range", "payload": {"n": n % 50}} for n in range(500)]
        for _ in range(4):
            client.submit_many(batch)
        kill_and_restart_the_api(Chaos(system, seed))
        eventually(lambda: drained(system), timeout=60)
        newest = client.stats()["seq"]
        for reader in readers:
            finished = reader.finish(newest, within=60)
            evidence.feeds.append(Feed(reader.events, newest, reader.resets, finished))
        assert all(reader.connections >= 5 for reader in readers)
    evidence.read(system.data_dir / "orpheus.db", tmp_path / "no-trace")
    assert [event["seq"] for event in evidence.events[:newest]] == list(range(1, newest + 1))
    assert feeds_differ(evidence) == []

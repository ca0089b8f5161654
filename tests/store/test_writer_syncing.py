"""New jobs are seen before the sync, after which they are acknowledged (ADR 0013)."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orpheus.errors import EXIT_TEMPORARY
from orpheus.ipc.doorbell import Doorbell
from orpheus.settings import Settings
from orpheus.store import wal
from tests.store.writer_peer import Peer, rung, started, wire
from tests.support.stores import settings_at
from tests.support.waiting import eventually


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


@contextmanager
def stopped_in_sync(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Peer, Callable[[], object]]]:
    """A writer whose syncs wait until they are let go."""
    waits, go = os.pipe()
    monkeypatch.setattr(wal, "_sync", lambda _: os.read(waits, 1))
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        yield peer, lambda: os.write(go, b"!")
    os.close(waits)
    os.close(go)


def test_new_jobs_are_seen_before_the_sync_and_answered_after_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_in_sync(settings, monkeypatch) as (peer, sync):
        bell = Doorbell(settings.run_dir / "bells" / "jobs.fifo", shared=True)
        (id_,) = peer.send(("submit", {"jobs": [wire()], "idempotency": None}))
        eventually(lambda: peer.rows("SELECT state FROM jobs") == [("pending",)])
        eventually(lambda: rung(bell))
        assert not select.select([peer.sock], [], [], 0)[0]
        sync()
        assert peer.receive()[:2] == [id_, "ok"]
        bell.close()


def test_and_so_is_a_key_that_finds_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes nothing, and what it names may not be synced yet by whoever wrote it."""
    with stopped_in_sync(settings, monkeypatch) as (peer, sync):
        sync()
        peer.submit(unique_key="a")
        (id_,) = peer.send(("submit", {"jobs": [wire(unique_key="a")], "idempotency": None}))
        assert not select.select([peer.sock], [], [], 0.2)[0]
        sync()
        assert peer.receive()[2]["items"][0]["deduplicated"]
        assert id_ == 2


def test_a_sync_that_fails_acknowledges_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(wal, "_sync", fail)
    with started(settings) as peer:
        assert peer.receive() == {"ready": True}
        peer.send(("submit", {"jobs": [wire()], "idempotency": None}))
        with pytest.raises(EOFError):
            peer.receive()
        assert peer.end() == EXIT_TEMPORARY


def test_what_changes_a_known_job_is_synced_before_it_is_seen(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stopped_in_sync(settings, monkeypatch) as (peer, sync):
        sync()
        id_ = peer.submit()["items"][0]["id"]
        assert peer.ask("cancel", id=id_) == {"accepted": False}

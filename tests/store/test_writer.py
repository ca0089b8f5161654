"""The API's writer: a real forked process at the other end of a real socket."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from orpheus.clock import SystemClock
from orpheus.errors import EXIT_CONFIGURATION, EXIT_OK, EXIT_TEMPORARY
from orpheus.ipc.doorbell import Doorbell
from orpheus.store.migrate import latest_version, migrate
from tests.store.writer_peer import Peer, rung, started, wire
from tests.support.stores import integrity, settings_at
from tests.support.waiting import eventually


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[Peer]:
    """A writer that has said that it is ready."""
    with started(settings_at(tmp_path, max_pending=2000)) as peer:
        assert peer.receive() == {"ready": True}
        yield peer


class TestStart:
    def test_it_migrates_before_it_is_ready(self, peer: Peer) -> None:
        assert peer.rows("PRAGMA user_version") == [(latest_version(),)]

    def test_a_database_it_cannot_serve_is_told(self, tmp_path: Path) -> None:
        settings = settings_at(tmp_path)
        migrate(settings, SystemClock())
        connection = sqlite3.connect(settings.database_path)
        connection.execute("PRAGMA user_version = 999")
        connection.close()
        with started(settings) as peer:
            told = peer.receive()
            assert (told["ready"], told["exit"]) == (False, EXIT_CONFIGURATION)
            assert "newer" in told["error"]
            assert peer.end() == EXIT_CONFIGURATION

    def test_hanging_up_ends_it_cleanly(self, peer: Peer) -> None:
        peer.submit()
        assert peer.end() == EXIT_OK
        settings = peer.settings
        assert not settings.database_path.with_name("orpheus.db-wal").exists()
        assert integrity(settings.database_path) == "ok"

    def test_a_term_meant_for_the_api_does_not_end_it(self, peer: Peer) -> None:
        os.kill(peer.pid, 15)
        os.kill(peer.pid, 2)
        assert peer.submit()["items"][0]["id"] == 1


class TestVerbs:
    def test_submit_answers_with_the_job(self, peer: Peer) -> None:
        answer = peer.submit(ref="mine", tags=("a",))
        assert answer["items"] == [
            {"id": 1, "state": "pending", "ref": "mine", "deduplicated": False}
        ]
        assert answer["replayed"] is False
        assert peer.rows("SELECT id, state, tags, ref, created_at, run_at FROM jobs") == [
            (1, "pending", '["a"]', "mine", answer["created_at"], answer["created_at"])
        ]

    def test_a_batch_answers_with_items_only(self, peer: Peer) -> None:
        answer = peer.ask("submit", jobs=[wire(), wire(delay=5)], idempotency=None)
        assert [item["state"] for item in answer["items"]] == ["pending", "scheduled"]
        assert peer.rows("SELECT created_at FROM jobs") == [(answer["created_at"],)] * 2

    def test_the_same_key_gets_the_same_answer(self, peer: Peer) -> None:
        first = peer.ask("submit", jobs=[wire()], idempotency=["jobs", "k", "h"])
        peer.ask("cancel", id=1)
        again = peer.ask("submit", jobs=[wire()], idempotency=["jobs", "k", "h"])
        assert (again["items"], again["replayed"]) == (first["items"], True)
        # What became of it since is read by whoever wants to know.
        assert again["created_at"] is None
        refused = peer.refused("submit", jobs=[wire()], idempotency=["jobs", "k", "other"])
        assert refused == "idempotency_conflict"
        assert peer.rows("SELECT id FROM jobs") == [(1,)]

    def test_the_same_key_twice_in_one_group_is_one_job(self, peer: Peer) -> None:
        args = {"jobs": [wire()], "idempotency": ["jobs", "k", "h"]}
        peer.send(("submit", args), ("submit", args))
        assert sorted(peer.receive()[2]["replayed"] for _ in range(2)) == [False, True]
        assert peer.rows("SELECT id FROM jobs") == [(1,)]

    def test_cancel_retry_delete(self, peer: Peer) -> None:
        peer.submit()
        assert peer.ask("cancel", id=1) == {"accepted": False}
        assert peer.rows("SELECT state FROM jobs") == [("cancelled",)]
        assert peer.ask("retry", id=1) == {}
        assert peer.rows("SELECT state FROM jobs") == [("pending",)]
        assert peer.refused("delete", id=1) == "invalid_state"
        peer.ask("cancel", id=1)
        assert peer.ask("delete", id=1) == {}
        assert peer.refused("cancel", id=1) == "not_found"

    def test_pause_and_resume(self, peer: Peer) -> None:
        assert peer.ask("pause", queue="mail") == {}
        assert peer.rows("SELECT name, paused FROM queues") == [("mail", 1)]
        assert peer.ask("resume", queue="mail") == {}
        assert peer.rows("SELECT name, paused FROM queues") == [("mail", 0)]

    def test_a_full_queue_is_told(self, peer: Peer) -> None:
        peer.ask("submit", jobs=[wire()] * 2000, idempotency=None)
        assert peer.refused("submit", jobs=[wire()], idempotency=None) == "queue_full"

    def test_a_probe_takes_the_gate_and_writes_nothing(self, peer: Peer) -> None:
        peer.submit()
        before = peer.rows("PRAGMA data_version"), peer.rows("SELECT count(*) FROM events")
        assert peer.ask("probe")["ms"] >= 0
        assert peer.ask("ping") == {}
        assert (
            peer.rows("PRAGMA data_version"),
            peer.rows("SELECT count(*) FROM events"),
        ) == before

    def test_an_unknown_verb_is_refused(self, peer: Peer) -> None:
        assert peer.refused("explode") == "not_supported"


class TestGroupCommit:
    def commits(self, peer: Peer) -> int:
        """Frames in the write-ahead log that end a transaction."""
        wal = peer.settings.database_path.with_name("orpheus.db-wal").read_bytes()
        page_size = int.from_bytes(wal[8:12], "big")
        frames = range(32, len(wal) - page_size, 24 + page_size)
        # The second word of a frame's header is the database's size after a commit, else 0.
        return sum(wal[at + 4 : at + 8] != b"\0\0\0\0" and wal[at + 8 : at + 16] == wal[16:24]
                   for at in frames)  # fmt: skip

    def test_requests_that_wait_together_share_one_commit(self, peer: Peer) -> None:
        peer.submit()
        before = self.commits(peer)
        ids = peer.send(*[("submit", {"jobs": [wire()], "idempotency": None})] * 100)
        answers = [peer.receive() for _ in ids]
        assert [answer[0] for answer in answers] == ids
        assert {answer[1] for answer in answers} == {"ok"}
        # Sent in one piece they arrive in one or, at worst, a few.
        assert 1 <= self.commits(peer) - before <= 3
        before = self.commits(peer)
        for _ in range(5):
            peer.submit()
        assert self.commits(peer) - before == 5
        assert peer.rows("SELECT count(*) FROM jobs") == [(106,)]

    def test_one_that_is_refused_hurts_no_other_of_its_group(self, peer: Peer) -> None:
        submit = ("submit", {"jobs": [wire()], "idempotency": None})
        peer.send(submit, ("cancel", {"id": 77}), submit, ("ping", {}), ("delete", {"id": 1}))
        answers = {answer[0]: answer for answer in (peer.receive() for _ in range(5))}
        assert [answers[id_][1] for id_ in range(1, 6)] == ["ok", "error", "ok", "ok", "error"]
        assert (answers[2][2], answers[5][2]) == ("not_found", "invalid_state")
        assert peer.rows("SELECT id, state FROM jobs") == [(1, "pending"), (2, "pending")]

    def test_a_defect_in_one_request_hurts_no_other_of_its_group(self, peer: Peer) -> None:
        submit = ("submit", {"jobs": [wire()], "idempotency": None})
        # What no route lets through: the table's own check refuses it after others have written.
        broken = ("submit", {"jobs": [wire(priority=5000)], "idempotency": None})
        peer.send(submit, broken, submit)
        answers = {answer[0]: answer for answer in (peer.receive() for _ in range(3))}
        assert [answers[id_][1] for id_ in range(1, 4)] == ["ok", "error", "ok"]
        assert answers[2][2] == "internal"
        assert len(peer.rows("SELECT id FROM jobs")) == 2

    def test_what_is_answered_is_stored_even_if_the_writer_is_killed(self, peer: Peer) -> None:
        peer.send(*[("submit", {"jobs": [wire()], "idempotency": None})] * 20)
        acknowledged = [peer.receive()[2]["items"][0]["id"] for _ in range(20)]
        os.kill(peer.pid, 9)
        os.waitpid(peer.pid, 0)
        assert [row[0] for row in peer.rows("SELECT id FROM jobs")] == acknowledged

    def test_a_large_request_arrives_whole(self, peer: Peer) -> None:
        payload = json.dumps({"text": "x" * 1_900_000})
        peer.submit(payload=payload)
        assert peer.rows("SELECT payload FROM jobs") == [(payload,)]


class TestTrouble:
    def test_a_stranger_with_the_lock_makes_it_busy_and_not_ended(self, peer: Peer) -> None:
        stranger = sqlite3.connect(peer.settings.database_path, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        try:
            assert peer.refused("submit", jobs=[wire()], idempotency=None) == "store_busy"
            assert peer.refused("probe") == "store_busy"
            stranger.execute("ROLLBACK")
        finally:
            stranger.close()
        assert peer.submit()["items"][0]["id"] == 1

    def test_a_removed_gate_ends_it_without_an_answer(self, peer: Peer) -> None:
        peer.submit()
        peer.settings.gate_path.unlink()
        peer.send(("submit", {"jobs": [wire()], "idempotency": None}))
        with pytest.raises(EOFError):
            peer.receive()
        assert peer.end() == EXIT_TEMPORARY
        assert peer.rows("SELECT count(*) FROM jobs") == [(1,)]

    def test_an_api_that_dies_before_its_answer_ends_it_cleanly(self, peer: Peer) -> None:
        peer.send(*[("submit", {"jobs": [wire()], "idempotency": None})] * 50)
        assert peer.end() == EXIT_OK
        assert integrity(peer.settings.database_path) == "ok"


def test_it_rings_who_should_look(peer: Peer) -> None:
    bells = peer.settings.run_dir / "bells"
    names = ("jobs", "maint-main", "feed-1")
    listeners = [Doorbell(bells / f"{name}.fifo") for name in names]
    try:
        peer.submit()
        assert eventually(lambda: [rung(bell) for bell in listeners] == [True, False, True])
    finally:
        for bell in listeners:
            bell.close()


def test_a_job_for_later_is_told_to_every_worker(peer: Peer) -> None:
    """Whoever is idle when the time comes must know it: the others may run something then."""
    own = [Doorbell(peer.settings.run_dir / "bells" / f"work-main-{n}.fifo") for n in range(2)]
    try:
        peer.submit()
        assert not any(rung(bell) for bell in own)
        peer.submit(delay=60_000_000)
        assert all(rung(bell) for bell in own)
    finally:
        for bell in own:
            bell.close()

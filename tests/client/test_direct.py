"""Submitting straight to the database file: the answers, the refusals, and what is stored."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus import DirectClient
from orpheus.api.routes.submit import _idempotency
from orpheus.api.schemas import BatchItem, Job
from orpheus.client.direct import _key, _parsed
from orpheus.errors import ConfigurationError, InvalidRequest, RequestError, StoreBusy
from orpheus.ipc import process
from orpheus.ipc.doorbell import Doorbell, feed_bell, jobs_bell, worker_bell
from orpheus.ipc.locks import CLIENT, GateRecord, read_record
from orpheus.store import also as also_statements
from tests.client.direct_setup import Folder, make_folder
from tests.support.waiting import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return make_folder(tmp_path)


@pytest.fixture
def client(folder: Folder) -> Iterator[DirectClient]:
    with folder.client() as client:
        yield client


class TestSubmit:
    def test_answers_the_job_as_the_api_does(self, client: DirectClient, folder: Folder) -> None:
        job = client.submit("sum_range", {"n": 5}, priority=7, tags=["a"], meta={"by": "me"})
        Job.model_validate(job)
        assert (job["id"], job["state"], job["payload"]) == (1, "pending", {"n": 5})
        assert (job["priority"], job["tags"], job["meta"]) == (7, ["a"], {"by": "me"})
        assert job["attempts"] == []
        assert "deduplicated" not in job
        assert folder.rows("SELECT event, reason FROM events") == [("job.pending", "submitted")]
        assert folder.rows("SELECT state, n FROM counters") == [("pending", 1)]

    def test_many_in_order(self, client: DirectClient) -> None:
        jobs = [{"type": "sum_range", "payload": {"n": n}, "delay": n} for n in range(3)]
        items = client.submit_many(jobs)
        for item in items:
            BatchItem.model_validate(item)
        assert [item["id"] for item in items] == [1, 2, 3]
        assert [item["state"] for item in items] == ["pending", "scheduled", "scheduled"]

    def test_many_are_all_or_none(self, client: DirectClient, folder: Folder) -> None:
        with pytest.raises(InvalidRequest) as caught:
            client.submit_many([{"type": "sum_range", "payload": {"n": 1}}, {"type": "nothing"}])
        assert caught.value.code == "unknown_type"
        assert caught.value.errors[0][0] == ("jobs", 1, "type")
        assert folder.count("jobs") == 0

    @pytest.mark.parametrize(
        ("type_", "payload", "options", "code"),
        [
            ("sum_range", {"n": "5"}, {}, "invalid_payload"),
            ("nothing", {}, {}, "unknown_type"),
            ("sum_range", {"n": 1}, {"colour": "red"}, "unknown_field"),
            ("sum_range", {"n": 1}, {"priority": 101}, "out_of_range"),
            ("sum_range", {"n": object()}, {}, "invalid_json"),
            ("sum_range", {"n": float("nan")}, {}, "invalid_json"),
            ("wordcount", {"text": "\ud800"}, {}, "invalid_json"),
            ("sum_range", {"n": 1}, {"meta": {"x": "\ud800"}}, "invalid_json"),
            ("wordcount", {"text": "x" * (1 << 20)}, {}, "body_too_large"),
            ("sum_range", {"n": 1}, {"idempotency_key": "é"}, "invalid_parameter"),
        ],
    )
    def test_refuses_what_the_api_refuses(
        self, client: DirectClient, type_: str, payload: object, options: object, code: str
    ) -> None:
        with pytest.raises(RequestError) as caught:
            client.submit(type_, payload, **options)  # type: ignore[arg-type]
        assert caught.value.code == code

    def test_too_deep(self, client: DirectClient) -> None:
        value: list[object] = []
        for _ in range(100_000):
            value = [value]
        with pytest.raises(InvalidRequest, match="nested"):
            client.submit("sum_range", {"n": value})

    @pytest.mark.parametrize("count", [0, 10_001])
    def test_a_batch_has_a_size(self, client: DirectClient, count: int) -> None:
        with pytest.raises(InvalidRequest, match="1 to 10000"):
            client.submit_many([{}] * count)

    def test_a_held_unique_key_answers_its_holder(self, client: DirectClient) -> None:
        first = client.submit("sum_range", {"n": 1}, unique_key="one")
        second = client.submit("sum_range", {"n": 2}, unique_key="one")
        assert second["id"] == first["id"]
        assert second["deduplicated"] is True
        assert second["payload"] == {"n": 1}
        (item,) = client.submit_many(
            [{"type": "sum_range", "payload": {"n": 3}, "unique_key": "one"}]
        )
        assert item["deduplicated"] is True

    def test_a_full_queue_refuses(self, folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ORPHEUS_MAX_PENDING", "2")
        with folder.client() as client:
            client.submit("sum_range", {"n": 1})
            with pytest.raises(RequestError) as caught:
                client.submit_many([{"type": "sum_range", "payload": {"n": 1}}] * 2)
            assert caught.value.code == "queue_full"
            client.submit("sum_range", {"n": 1})
        assert folder.count("jobs") == 2


class TestIdempotency:
    def test_a_repeated_key_answers_the_job_as_it_is_now(
        self, client: DirectClient, folder: Folder
    ) -> None:
        first = client.submit("sum_range", {"n": 1}, idempotency_key="k")
        folder.script("UPDATE jobs SET priority = 3")
        again = client.submit("sum_range", {"n": 1}, idempotency_key="k")
        assert (again["id"], again["priority"]) == (first["id"], 3)
        assert folder.count("jobs") == 1

    def test_another_body_conflicts(self, client: DirectClient) -> None:
        client.submit("sum_range", {"n": 1}, idempotency_key="k")
        for n, extra in ((2, ()), (1, [("INSERT INTO orders (item) VALUES ('x')", ())])):
            with pytest.raises(RequestError) as caught:
                client.submit("sum_range", {"n": n}, idempotency_key="k", also=extra)
            assert caught.value.code == "idempotency_conflict"

    def test_statements_run_once(self, client: DirectClient, folder: Folder) -> None:
        for _ in range(2):
            client.submit_many(
                [{"type": "sum_range", "payload": {"n": 1}}],
                idempotency_key="k",
                also=[("INSERT INTO orders (price) VALUES (?)", (1.5,))],
            )
        assert (folder.count("orders"), folder.count("jobs")) == (1, 1)

    def test_a_deleted_job_is_not_found(self, client: DirectClient, folder: Folder) -> None:
        client.submit("sum_range", {"n": 1}, idempotency_key="k")
        folder.script("DELETE FROM jobs")
        with pytest.raises(RequestError) as caught:
            client.submit("sum_range", {"n": 1}, idempotency_key="k")
        assert caught.value.code == "not_found"

    def test_the_digest_is_the_apis(self) -> None:
        """So that a key may be repeated over the other way."""

        class Request:
            headers = {"idempotency-key": "k"}  # noqa: RUF012
            url = type("Url", (), {"path": "/jobs"})

        value = _parsed({"type": "wordcount", "payload": {"text": "é", "a": 1.0}}, 1000)
        key = _key("/jobs", "k", value, ())
        assert key is not None
        assert _idempotency(Request(), value) == (key.scope, key.key, key.body_hash)  # type: ignore[arg-type]


class TestTheFolder:
    def test_is_made_and_migrated_and_private(self, tmp_path: Path) -> None:
        before = os.umask(0o022)
        try:
            with DirectClient(tmp_path / "new", handlers=()) as client:
                assert client.submit("sum_range", {"n": 1})["id"] == 1
            assert os.umask(0o022) == 0o022
        finally:
            os.umask(before)
        modes = [tmp_path / "new", tmp_path / "new" / "orpheus.db", tmp_path / "new/orpheus.gate"]
        assert [stat.S_IMODE(path.stat().st_mode) for path in modes] == [0o700, 0o600, 0o600]

    def test_of_a_newer_orpheus_is_refused(self, folder: Folder, client: DirectClient) -> None:
        folder.script("PRAGMA user_version = 999")
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="newer"):
                client.submit("sum_range", {"n": 1})
        folder.script("PRAGMA user_version = 1")

    def test_that_was_replaced_is_opened_again(self, folder: Folder, client: DirectClient) -> None:
        client.submit("sum_range", {"n": 1})
        folder.gate.unlink()
        with pytest.raises(Exception, match="was removed"):
            client.submit("sum_range", {"n": 1})
        assert client.submit("sum_range", {"n": 1})["id"] == 2

    def test_bells_ring_for_whom_it_concerns(self, folder: Folder, client: DirectClient) -> None:
        run_dir = folder.data_dir / "run"
        anyone = Doorbell(jobs_bell(run_dir), shared=True)
        everyone = Doorbell(worker_bell(run_dir, "main", 0))
        feed = Doorbell(feed_bell(run_dir, 1))
        try:
            client.submit("sum_range", {"n": 1})
            assert anyone.drain()
            assert not everyone.drain()
            # After the answer.
            eventually(feed.drain)
            client.submit("sum_range", {"n": 1}, delay=60)
            assert everyone.drain()
        finally:
            for bell in (anyone, everyone, feed):
                bell.close()


class TestTheGate:
    def test_knows_us_as_a_client(
        self, client: DirectClient, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[GateRecord | None] = []
        run = also_statements.run

        def look(*args: Any) -> None:
            seen.append(read_record(folder.gate))
            run(*args)

        monkeypatch.setattr(also_statements, "run", look)
        client.submit("sum_range", {"n": 1}, also=[("SELECT 1", ())])
        (record,) = seen
        assert record is not None
        assert (record.pid, record.kind) == (os.getpid(), CLIENT)
        assert read_record(folder.gate) is None

    def test_a_wait_that_is_too_long_writes_nothing_and_holds_nothing(self, folder: Folder) -> None:
        with folder.client(timeout=0.2) as client:
            client.submit("sum_range", {"n": 1})
            with folder.gate_held(), pytest.raises(StoreBusy, match=r"within 0\.2 s; nothing"):
                client.submit("sum_range", {"n": 2})
            eventually(folder.gate_is_free)
            assert client.submit("sum_range", {"n": 3})["id"] == 2
        assert folder.count("jobs") == 2

    def test_a_stranger_in_a_transaction_is_waited_for(self, folder: Folder) -> None:
        import sqlite3

        stranger = sqlite3.connect(folder.database, isolation_level=None)
        stranger.execute("BEGIN IMMEDIATE")
        with folder.client(timeout=0.2) as client:
            with pytest.raises(StoreBusy):
                client.submit("sum_range", {"n": 2})
            stranger.execute("ROLLBACK")
            stranger.close()
            assert client.submit("sum_range", {"n": 3})["id"] == 1

    def test_an_interrupted_caller_leaves_nothing_behind(
        self, folder: Folder, client: DirectClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client.submit("sum_range", {"n": 1})

        def interrupted(*_: object) -> bool:
            raise KeyboardInterrupt

        with folder.gate_held(), monkeypatch.context() as patch:
            patch.setattr(threading.Event, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                client.submit("sum_range", {"n": 2})
        assert client.submit("sum_range", {"n": 3})["id"] == 2

    def test_threads_share_a_client(self, folder: Folder, client: DirectClient) -> None:
        def produce() -> None:
            ids.extend(client.submit("sum_range", {"n": n})["id"] for n in range(20))

        ids: list[int] = []
        threads = [threading.Thread(target=produce) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(ids) == list(range(1, 161))
        assert folder.rows("SELECT sum(n) FROM counters") == [(160,)]

    def test_what_waits_together_is_committed_together_and_refused_alone(
        self, folder: Folder
    ) -> None:
        """One refused submit and one with failing statements cost the others nothing."""
        outcomes: dict[int, object] = {}

        client = folder.client()

        def produce(n: int) -> None:
            extra = [("INSERT OR ROLLBACK INTO orders (item) VALUES ('same')", ())]
            try:
                outcomes[n] = client.submit(
                    "sum_range", {"n": n}, also=extra if n % 3 == 0 else ()
                )["id"]
            except Exception as error:
                outcomes[n] = error

        with client:
            client.submit("sum_range", {"n": 100})
            threads = [threading.Thread(target=produce, args=(n,)) for n in range(9)]
            with folder.gate_held():
                for thread in threads:
                    thread.start()
                eventually(lambda: client._committer._orders.qsize() >= 8)
            for thread in threads:
                thread.join()
        failed = [n for n, outcome in outcomes.items() if isinstance(outcome, Exception)]
        assert len(failed) == 2
        assert all(n % 3 == 0 for n in failed)
        assert (folder.count("jobs"), folder.count("orders")) == (8, 1)


def test_a_closed_client_says_so(folder: Folder) -> None:
    client = folder.client()
    client.submit("sum_range", {"n": 1})
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.submit("sum_range", {"n": 1})
    assert not [thread for thread in threading.enumerate() if thread.name == "orpheus-commit"]


def test_a_worker_process_is_refused(client: DirectClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_one_thread", True)
    with pytest.raises(ConfigurationError, match="inside a handler"):
        client.submit("sum_range", {"n": 1})


def test_handlers_are_judged_when_the_client_is_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no_such_module"):
        DirectClient(tmp_path, handlers=["no_such_module"])


def test_a_low_disk_is_told(
    client: DirectClient, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orpheus.store.admission._free_bytes", lambda _: 1 << 20)
    with pytest.raises(RequestError) as refused:
        client.submit("sum_range", {"n": 1})
    assert refused.value.code == "storage_low"
    assert folder.rows("SELECT count(*) FROM jobs") == [(0,)]

"""Many jobs that differ in their payloads only: written in bulk, and as if they were not."""

from __future__ import annotations

import contextlib
import enum
import functools
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orpheus import DirectClient
from orpheus.client.order import Order, counted
from orpheus.errors import InvalidRequest, RequestError, StoreBusy, StoreFailed
from orpheus.store.database import Database
from orpheus.store.submit_alike import Run
from orpheus.store.wal import WriteAheadLog
from tests.client.direct_setup import Folder, make_folder
from tests.support.waiting import eventually

HANDLERS = """
from orpheus import job

@job
def anything(value: object = None, other: object = None) -> None: ...
"""
COLUMNS = (
    "id, type, queue, lane, state, priority, payload, max_retries, max_crashes, backoff_base,"
    " backoff_cap, timeout, tags, meta, unique_key, ref, run_at - created_at"
)


class Kind(enum.StrEnum):
    SUM = "sum_range"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return make_folder(tmp_path)


@pytest.fixture
def client(folder: Folder) -> Iterator[DirectClient]:
    with folder.client() as client:
        yield client


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[tuple[Folder, DirectClient]]]:
    """One for the jobs in bulk, one for the same jobs one by one; both know `anything`."""
    with contextlib.ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        modules = tmp_path_factory.mktemp("modules")
        (modules / "alike_handlers.py").write_text(HANDLERS)
        patch.syspath_prepend(modules)
        made = []
        for name in ("bulk", "single"):
            folder = make_folder(tmp_path_factory.mktemp(name))
            client = DirectClient(folder.data_dir, handlers=("alike_handlers",))
            made.append((folder, stack.enter_context(client)))
        yield made


def runs(client: DirectClient, jobs: Any) -> bool:
    return isinstance(client.order_many(jobs, None, ()).jobs, Run)


def sums(*numbers: object) -> list[dict[str, Any]]:
    return [{"type": "sum_range", "payload": {"n": n}} for n in numbers]


def stored(folder: Folder) -> list[list[tuple[Any, ...]]]:
    return [
        folder.rows(f"SELECT {COLUMNS} FROM jobs ORDER BY id"),
        folder.rows(
            "SELECT event, job_id, type, queue, state, attempt, reason, data IS NULL FROM events"
        ),
        folder.rows("SELECT * FROM counters"),
        folder.rows("SELECT * FROM totals WHERE name = 'jobs_submitted'"),
        folder.rows("SELECT sum(submitted) FROM activity"),
        folder.rows("SELECT * FROM sqlite_sequence ORDER BY name"),
        folder.rows("SELECT * FROM queues"),
    ]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["},{", '"},{"', "\n", "\x7f", "\x00\x1f", "ä\U0001f600", 10**400, -0.0]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "queue": st.sampled_from(["a", "b"]),
        "priority": st.integers(-100, 100),
        "delay": st.sampled_from([0, 0.5, 60]),
        "max_retries": st.integers(0, 5),
        "timeout": st.sampled_from([1, 2.5]),
    },
)
PAYLOADS = st.fixed_dictionaries({}, optional={"value": JSON, "other": JSON})


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(payloads=st.lists(PAYLOADS, min_size=2, max_size=7), options=OPTIONS)
def test_leaves_what_single_submits_leave(
    two: list[tuple[Folder, DirectClient]],
    payloads: list[dict[str, Any]],
    options: dict[str, Any],
) -> None:
    (bulk, bulk_client), (single, single_client) = two
    jobs = [{"type": "anything", "payload": payload, **options} for payload in payloads]
    order = bulk_client.order_many(jobs, None, ())
    assert isinstance(order.jobs, Run)
    items = bulk_client.commit(order).items()
    one_by_one = [single_client.submit_many([job])[0] for job in jobs]
    assert items == one_by_one
    assert stored(bulk) == stored(single)


@pytest.mark.parametrize("count", [2, 49, 50, 51, 499, 500, 501, 1049, 10_000])
def test_of_any_number(client: DirectClient, folder: Folder, count: int) -> None:
    client.submit("sum_range", {"n": 7})
    items = client.submit_many(sums(*range(count)))
    assert [item["id"] for item in items] == list(range(2, count + 2))
    assert items[-1] == {
        "id": count + 1, "state": "pending", "ref": None, "deduplicated": False
    }  # fmt: skip
    payloads = folder.rows("SELECT payload FROM jobs WHERE id > 1 ORDER BY id")
    assert payloads == [(f'{{"n":{n}}}',) for n in range(count)]
    events = folder.rows("SELECT job_id FROM events ORDER BY seq")
    assert events == [(n,) for n in range(1, count + 2)]
    assert folder.rows("SELECT n FROM counters") == [(count + 1,)]


@pytest.mark.parametrize(
    "other",
    [
        {"type": Kind.SUM, "payload": {"n": 2}},
        {"type": "sum_range", "payload": OrderedDict(n=2)},
        OrderedDict(type="sum_range", payload={"n": 2}),
        {"type": "sum_range", "payload": {"n": 2}, "tags": ["a"]},
        {"type": "sum_range", "payload": {"n": 2}, "unique_key": "u"},
        {"type": "sum_range", "payload": {"n": 2}, "priority": 1},
        {"type": "builtin.sleep", "payload": {"seconds": 1}},
    ],
)
def test_whatever_is_different_goes_one_by_one(client: DirectClient, other: Any) -> None:
    jobs = [*sums(1), other]
    if other["type"] != "builtin.sleep":
        assert not runs(client, jobs)
        assert len(client.submit_many(jobs)) == 2
    assert runs(client, sums(1, 2))
    assert not runs(client, sums(1))


def test_what_json_makes_of_a_payload_is_made_of_it(client: DirectClient, folder: Folder) -> None:
    """Keys that are no strings, tuples and subclasses are what they become in JSON."""
    jobs = [
        {"type": "wordcount", "payload": {"text": Kind.SUM}},
        {"type": "wordcount", "payload": {"text": "b"}},
    ]
    assert not runs(client, jobs)
    client.submit_many(jobs)
    assert folder.rows("SELECT payload FROM jobs") == [('{"text":"sum_range"}',), ('{"text":"b"}',)]


CODES = ("invalid_payload", "invalid_json", "too_deep", "body_too_large")


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = value["b"] = value
    return value


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ("5", "invalid_payload"),
        (True, "invalid_payload"),
        (object(), "invalid_json"),
        (float("nan"), "invalid_json"),
        (float("inf"), "invalid_json"),
        ("\ud800", "invalid_json"),
        (10**5000, "invalid_json"),
        (circular(), "invalid_json"),
        (nested(70), "too_deep"),
        (nested(40), "invalid_payload"),
        ("x" * (16 << 20), "body_too_large"),
    ],
    ids=lambda value: type(value).__name__ if value not in CODES else value,
)
def test_refuses_as_ever_and_leaves_nothing(
    client: DirectClient, folder: Folder, wrong: object, code: str
) -> None:
    """The same answer where one of the jobs says something that keeps them from being alike."""
    jobs = sums(*range(300), wrong, *range(300))
    refused = []
    for batch in (jobs, [*jobs, {**jobs[0], "priority": 1}]):
        with pytest.raises(RequestError) as caught:
            client.submit_many(batch)
        refused.append((caught.value.code, getattr(caught.value, "errors", None)))
        if isinstance(caught.value, InvalidRequest) and code == "invalid_payload":
            assert caught.value.errors[0][0][:4] == ("jobs", 300, "payload", "n")
    assert refused[0] == refused[1]
    assert refused[0][0] == code
    assert [folder.count(table) for table in ("jobs", "events", "counters")] == [0, 0, 0]


def test_refuses_an_unknown_type_as_ever(client: DirectClient) -> None:
    with pytest.raises(InvalidRequest) as caught:
        client.submit_many([{"type": "nothing", "payload": {}}] * 3)
    assert (caught.value.code, caught.value.errors[0][0]) == ("unknown_type", ("jobs", 0, "type"))
    # What JSON cannot say is told before what Orpheus does not know.
    with pytest.raises(InvalidRequest) as caught:
        client.submit_many([{"type": "nothing", "payload": {"a": "\ud800"}}] * 3)
    assert caught.value.code == "invalid_json"


def test_statements_go_with_it_or_not_at_all(client: DirectClient, folder: Folder) -> None:
    also = [("INSERT INTO orders (item) VALUES (?)", ("one",))]
    assert isinstance(client.order_many(sums(1, 2), None, also).jobs, Run)
    client.submit_many(sums(1, 2), also=also)
    with pytest.raises(sqlite3.IntegrityError):
        client.submit_many(sums(3, 4), also=also)
    assert (folder.count("orders"), folder.count("jobs"), folder.count("events")) == (1, 2, 2)


def test_a_full_queue_refuses_all(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORPHEUS_MAX_PENDING", "2")
    with folder.client() as client:
        with pytest.raises(RequestError, match="at most 2 may"):
            client.submit_many(sums(1, 2, 3))
        assert folder.count("jobs") == 0
        client.submit_many(sums(1, 2))


def test_a_key_is_kept_for_it(client: DirectClient, folder: Folder) -> None:
    first = client.submit_many(sums(1, 2), idempotency_key="k")
    assert client.submit_many(sums(1, 2), idempotency_key="k") == first
    assert folder.count("jobs") == 2


class TestSynced:
    """Acknowledged means synced, and the gate is free meanwhile."""

    def test_outside_the_gate_and_before_the_answer(
        self, client: DirectClient, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client.submit("sum_range", {"n": 1})
        order: Order = client.order_many(sums(1, 2), None, ())
        seen: list[tuple[bool, bool, int]] = []
        sync = Database.sync

        def look(database: Database) -> None:
            seen.append((folder.gate_is_free(), order.finished.is_set(), folder.count("jobs")))
            sync(database)

        monkeypatch.setattr(Database, "sync", look)
        client.commit(order)
        assert seen == [(True, False, 3)]

    def test_while_the_answer_is_made(
        self, client: DirectClient, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client.submit("sum_range", {"n": 1})
        made = threading.Event()
        seen: list[bool] = []

        def make(ids: range, state: str) -> list[dict[str, Any]]:
            made.set()
            return counted(ids, state)

        monkeypatch.setattr("orpheus.client.group.counted", make)
        monkeypatch.setattr(Database, "sync", lambda database: seen.append(made.wait(10)))
        assert [item["id"] for item in client.submit_many(sums(*range(1000)))] == [*range(2, 1002)]
        assert seen == [True]

    def test_with_statements_before_anybody_sees_it(
        self, client: DirectClient, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[bool] = []
        write = Database.write

        def look(database: Database, timeout: float | None = None, *, synced: bool = True) -> Any:
            seen.append(synced)
            return write(database, timeout, synced=synced)

        client.submit("sum_range", {"n": 1})
        monkeypatch.setattr(Database, "write", look)
        also = [("INSERT INTO orders (item) VALUES ('x')", ())]
        client.submit("sum_range", {"n": 1}, also=also)
        assert seen == [True]

        def commit(order: Order) -> None:
            with contextlib.suppress(StoreBusy):
                client.commit(order)

        # Behind one that gave up, which decided how the transaction would be written.
        seen.clear()
        orders = [client.order_many(sums(1), None, ()), client.order_many(sums(2), None, [
            ("INSERT INTO orders (item) VALUES ('y')", ())])]  # fmt: skip
        with folder.gate_held():
            threads = [threading.Thread(target=commit, args=(order,)) for order in orders]
            threads[0].start()
            eventually(lambda: seen == [False])
            threads[1].start()
            eventually(lambda: client._committer._orders.qsize() == 1)
            orders[0].abandon()
        for thread in threads:
            thread.join()
        assert seen == [False, True]
        assert folder.count("orders") == 2

    def test_a_failure_is_told_and_nothing_is_tried_again(
        self, client: DirectClient, folder: Folder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client.submit("sum_range", {"n": 1})

        def fail(_: Database) -> None:
            raise StoreFailed("the log could not be synced: Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(Database, "sync", fail)
            with pytest.raises(StoreFailed, match="could not be synced"):
                client.submit_many(sums(1, 2))
        assert folder.count("jobs") == 3
        # The thread that failed ends; the next one opens the file again.
        eventually(lambda: client._committer._ended)
        assert client.submit("sum_range", {"n": 1})["id"] == 4


def test_the_answer_is_made_outside_the_gate(
    client: DirectClient, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    free: list[bool] = []

    def look(ids: range, state: str) -> Any:
        free.append(folder.gate_is_free())
        return counted(ids, state)

    monkeypatch.setattr("orpheus.client.group.counted", look)
    assert len(client.submit_many(sums(1, 2))) == 2
    assert free == [True]


def ends_with(seen: list[str], expected: list[str]) -> bool:
    return seen[-len(expected) :] == expected


def test_a_large_one_has_the_memory_for_it(
    client: DirectClient, folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the log it filled is tended, since no pool may be there to do it."""
    client.submit("sum_range", {"n": 1})
    seen: list[str] = []
    large, tend = Database.large, WriteAheadLog.tend

    def look_large(database: Database) -> Any:
        seen.append("large")
        return large(database)

    def look_tend(
        log: WriteAheadLog, timeout: float | None = None, *, at_once: bool = False
    ) -> None:
        seen.append(f"tend {folder.gate_is_free()}")
        tend(log, timeout, at_once=at_once)

    monkeypatch.setattr(Database, "large", look_large)
    monkeypatch.setattr(WriteAheadLog, "tend", look_tend)
    text = "x" * (1 << 20)
    for count, expected in ((1, ["tend True"]), (3, ["large", *["tend True"] * 4])):
        seen.clear()
        client.submit_many([{"type": "wordcount", "payload": {"text": text}}] * count)
        # The log is tended after the answer: what came before may still be about to do it.
        eventually(functools.partial(ends_with, seen, expected))
    stored = len(text) + len('{"text":""}')
    assert folder.rows("SELECT length(payload) FROM jobs WHERE id > 1") == [(stored,), *[(0,)] * 3]
    assert folder.rows("SELECT length(payload) FROM payloads") == [(stored,)] * 3

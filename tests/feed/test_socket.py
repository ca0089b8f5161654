"""`/ws` of a running API: both modes, limits, and clients that behave badly."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from orpheus.api.rendering import row_view
from orpheus.api.schemas import Items, JobRow, Queue, Stats, Worker
from orpheus.store import logs
from tests.api.running import Api, running_api
from tests.support.waiting import eventually


def open_socket(api: Api, query: str = "") -> ClientConnection:
    return connect(api.url.replace("http", "ws") + "/ws" + query, compression=None)


def receive(client: ClientConnection, timeout: float = 5) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(client.recv(timeout=timeout))
    return frame


def close_code(client: ClientConnection) -> int:
    """Read to the end; the code the server closed with."""
    try:
        while True:
            client.recv(timeout=5)
    except ConnectionClosed:
        code = client.close_code
    assert code is not None
    return code


# --- plain ----------------------------------------------------------------------------------------


def test_hello_names_the_newest_number(api: Api) -> None:
    api.submit()
    with open_socket(api) as client:
        hello = receive(client)
        assert hello.keys() == {"type", "seq", "epoch", "now"}
        assert hello["type"] == "hello"
        assert hello["seq"] == api.get("/stats").json()["seq"]
        job = api.submit()
        frame = receive(client)
    (event,) = frame["events"]
    assert event["seq"] == hello["seq"] + 1
    assert event["event"] == "job.pending"
    assert event["reason"] == "submitted"
    assert event["job"] == {
        "id": job["id"], "type": "sum_range", "queue": "default", "state": "pending", "attempt": 0,
    }  # fmt: skip


def test_a_client_that_reconnects_at_random_misses_nothing(api: Api) -> None:
    rng = random.Random(11)
    position = api.get("/stats").json()["seq"]
    first, seen, epoch = position, [], None
    for _ in range(15):
        jobs = [{"type": "sum_range", "payload": {"n": 1}}] * rng.choice([1, 30, 1500])
        api.post("/jobs/batch", {"jobs": jobs})
        query = f"?since={position}" + (f"&epoch={epoch}" if epoch else "")
        with open_socket(api, query) as client:
            epoch = receive(client)["epoch"]
            for _ in range(rng.choice([0, 1, 2])):
                if position == api.get("/stats").json()["seq"]:
                    break
                frame = receive(client)
                assert frame["type"] == "events"
                seen += [event["seq"] for event in frame["events"]]
                position = seen[-1]
    newest = api.get("/stats").json()["seq"]
    with open_socket(api, f"?since={position}") as client:
        receive(client)
        while position < newest:
            seen += [event["seq"] for event in receive(client)["events"]]
            position = seen[-1]
    assert seen == list(range(first + 1, newest + 1))


@pytest.mark.parametrize("query", ["?since=999999999", "?since=0&epoch=another"])
def test_a_void_position_is_reset_and_goes_on(api: Api, query: str) -> None:
    with open_socket(api, query) as client:
        hello = receive(client)
        assert receive(client) == {"type": "reset", "seq": hello["seq"]}
        api.submit()
        assert receive(client)["events"][0]["seq"] == hello["seq"] + 1


def test_filters_repeat(api: Api) -> None:
    with open_socket(api, "?queue=ws-a&queue=ws-b") as client:
        receive(client)
        for queue in ("ws-a", "ws-c", "ws-b"):
            api.submit(queue=queue)
        found: list[str] = []
        while len(found) < 2:
            found += [event["job"]["queue"] for event in receive(client)["events"]]
    assert found == ["ws-a", "ws-b"]


@pytest.mark.parametrize(
    "query",
    ["?since=x", "?since=-1", "?since=1&since=2", "?job=x", "?queue=a%20b", "?sincce=1",
     "?mode=other", "?mode=dashboard&since=1"],
)  # fmt: skip
def test_a_malformed_query_is_refused_before_the_accept(api: Api, query: str) -> None:
    with pytest.raises(InvalidStatus) as refusal, open_socket(api, query):
        pass
    response = refusal.value.response
    assert response.status_code == 422
    assert json.loads(bytes(response.body or b""))["code"] == "invalid_parameter"


@pytest.mark.parametrize("query", ["", "?mode=dashboard"])
@pytest.mark.parametrize(
    ("message", "code"),
    [("x" * 65_537, 1009), (b"{}", 1003), ("{", 1007), ("", 1007)],
)
def test_a_message_that_cannot_be_ends_the_socket(
    api: Api, query: str, message: str | bytes, code: int
) -> None:
    with open_socket(api, query) as client:
        receive(client)
        client.send(message)
        assert close_code(client) == code


def test_the_largest_message_is_read(api: Api) -> None:
    with open_socket(api) as client:
        receive(client)
        client.send(json.dumps("x" * 65_534))
        api.submit()
        assert receive(client)["type"] == "events"


# --- dashboard ------------------------------------------------------------------------------------


class Dashboard:
    """A subscribed client that keeps the newest value of each subscription."""

    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.values: dict[int, Any] = {}
        self.kinds: dict[int, list[str]] = {}
        assert receive(client)["type"] == "hello"

    def send(self, **message: Any) -> None:
        self.client.send(json.dumps(message))

    def subscribe(self, id_: int, topic: str, **args: Any) -> Any:
        """Subscribe and return the snapshot."""
        self.send(op="subscribe", id=id_, topic=topic, args=args)
        eventually(lambda: id_ in self.read())
        assert self.kinds[id_][0] == "snapshot"
        return self.values[id_]

    def read(self) -> dict[int, Any]:
        """Take in what has arrived; the newest values."""
        while True:
            try:
                frame = receive(self.client, timeout=0.02)
            except TimeoutError:
                return self.values
            self.kinds.setdefault(frame["id"], []).append(frame["type"])
            self.values[frame["id"]] = frame.get("data")

    def until(self, id_: int, value: Any) -> None:
        def arrived() -> bool:
            self.read()
            return bool(self.values[id_] == value)

        eventually(arrived)


@pytest.fixture
def dashboard(api: Api) -> Iterator[Dashboard]:
    with open_socket(api, "?mode=dashboard") as client:
        yield Dashboard(client)


def test_topics_have_the_shapes_of_the_routes(api: Api, dashboard: Dashboard) -> None:
    job = api.submit()
    Stats.model_validate_json(json.dumps(dashboard.subscribe(1, "summary")))
    rows = dashboard.subscribe(2, "jobs", limit=3)
    Items[JobRow].model_validate_json(json.dumps(rows))
    assert rows["items"][0]["id"] == job["id"]
    Items[Worker].model_validate_json(json.dumps(dashboard.subscribe(3, "workers")))
    Items[Queue].model_validate_json(json.dumps(dashboard.subscribe(4, "queues")))
    assert dashboard.subscribe(5, "job", id=job["id"]) == {**job, "logs": []}


def test_a_job_is_followed_to_its_end(api: Api, dashboard: Dashboard) -> None:
    job_id = api.submit()["id"]
    dashboard.subscribe(1, "job", id=job_id)
    worker = api.worker()
    claim = api.claim(job_id, worker)
    with api.store.write() as tx:
        logs.append(tx, [logs.LogLine(job_id, 1, 0, "info", "working")])
    worker.finish(claim.attempt_id, result='{"sum":55}')

    def finished() -> bool:
        dashboard.read()
        return bool(dashboard.values[1]["state"] == "done")

    eventually(finished)
    assert dashboard.values[1]["result"] == {"sum": 55}
    assert dashboard.values[1]["logs"][0]["message"] == "working"
    assert set(dashboard.kinds[1][1:]) == {"update"}
    api.http.delete(f"/jobs/{job_id}")
    dashboard.until(1, None)
    assert dashboard.kinds[1][-1] == "gap"


def test_lists_follow_their_filter(api: Api, dashboard: Dashboard) -> None:
    assert dashboard.subscribe(1, "jobs", queue=["live"], state="pending") == {"items": []}
    job_id = api.submit(queue="live")["id"]
    api.submit(queue="elsewhere")
    row = row_view(dict(api.store.job(job_id)))
    dashboard.until(1, {"items": [json.loads(json.dumps(row))]})
    api.post(f"/jobs/{job_id}/cancel")
    dashboard.until(1, {"items": []})


def test_a_paused_subscription_is_silent_and_then_catches_up(
    api: Api, dashboard: Dashboard
) -> None:
    dashboard.subscribe(1, "jobs", queue="pausing")
    dashboard.subscribe(2, "jobs", queue="pausing", limit=100)
    dashboard.send(op="pause", id=1)
    job_id = api.submit(queue="pausing")["id"]

    def arrived(id_: int) -> bool:
        dashboard.read()
        return [row["id"] for row in dashboard.values[id_]["items"]] == [job_id]

    eventually(lambda: arrived(2))
    assert not arrived(1)
    dashboard.send(op="resume")
    eventually(lambda: arrived(1))
    dashboard.send(op="unsubscribe", id=1)
    api.submit(queue="pausing")
    eventually(lambda: len(dashboard.read()[2]["items"]) == 2)
    assert len(dashboard.values[1]["items"]) == 1


@pytest.mark.parametrize(
    "message",
    [
        {"op": "subscribe", "id": 1, "topic": "nothing"},
        {"op": "subscribe", "id": 1, "topic": "job"},
        {"op": "subscribe", "id": 1, "topic": "job", "args": {"id": "1"}},
        {"op": "subscribe", "id": 1, "topic": "jobs", "args": {"limit": 201}},
        {"op": "subscribe", "id": 1, "topic": "jobs", "args": {"state": "nowhere"}},
        {"op": "subscribe", "id": 1, "topic": "jobs", "args": {"colour": "red"}},
        {"op": "subscribe", "id": "1", "topic": "summary"},
        {"op": "destroy"},
        {},
        [],
        None,
    ],
)
def test_an_operation_that_cannot_be_ends_the_socket(
    api: Api, dashboard: Dashboard, message: object
) -> None:
    dashboard.client.send(json.dumps(message))
    assert close_code(dashboard.client) == 1008


def test_subscriptions_are_limited(api: Api, dashboard: Dashboard) -> None:
    for id_ in range(65):
        dashboard.send(op="subscribe", id=id_, topic="jobs", args={"limit": 1 + id_})
    assert close_code(dashboard.client) == 1008


# --- limits ---------------------------------------------------------------------------------------


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path) as api:
        yield api


def test_two_hundred_clients_and_no_more(own: Api) -> None:
    with ExitStack() as stack:
        clients = [stack.enter_context(open_socket(own)) for _ in range(200)]
        for client in clients:
            receive(client)
        with open_socket(own) as one_too_many:
            assert close_code(one_too_many) == 1013
        assert "orpheus_ws_clients 200.0" in own.get("/metrics").text
        own.submit()
        for client in clients:
            assert receive(client)["type"] == "events"
    eventually(lambda: "orpheus_ws_clients 0.0" in own.get("/metrics").text)
    with open_socket(own) as client:
        assert receive(client)["type"] == "hello"


def memory_of(pid: int) -> int:
    """Resident bytes."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def test_clients_that_read_nothing_cost_nothing(own: Api) -> None:
    assert own.system.api is not None
    jobs = [{"type": "sum_range", "payload": {"n": 1}}] * 10_000
    own.post("/jobs/batch", {"jobs": jobs})
    with ExitStack() as stack:
        for _ in range(20):
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", own.system.port)))
            deaf.sendall(
                b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
            )
        with open_socket(own) as client:
            position = receive(client)["seq"]
            before = memory_of(own.system.api.pid)
            for _ in range(4):
                own.post("/jobs/batch", {"jobs": jobs})
                while position < own.get("/stats").json()["seq"]:
                    position = receive(client)["events"][-1]["seq"]
            # 40,000 events of 200 bytes for 20 clients would be 160 MB.
            assert memory_of(own.system.api.pid) - before < 40_000_000

"""The program: how it starts, what it does when its writer is gone, how it stops."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from orpheus.api.main import run
from orpheus.errors import ConfigurationError
from tests.api.running import Api, running_api
from tests.support.processes import alive, children_of
from tests.support.stores import settings_at
from tests.support.system import System
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Api]:
    with running_api(tmp_path) as api:
        yield api


def pid_of(api: Api) -> int:
    assert api.system.api is not None
    return api.system.api.pid


def writer_of(api: Api) -> int:
    (writer,) = children_of(pid_of(api))
    return writer


def exit_code(api: Api, timeout: float = 10) -> int:
    assert api.system.api is not None
    return api.system.api.wait(timeout)


def test_a_taken_port_is_named_at_once(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        system = System(tmp_path, {"PORT": port})
        started = time.monotonic()
        done = system.run("api")
    assert done.returncode == 75
    assert time.monotonic() - started < 5
    (line,) = [line for line in done.stderr.splitlines() if "ORPHEUS_PORT" in line]
    assert port in line
    assert not (tmp_path / "data" / "orpheus.db").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_open_address_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(ConfigurationError, match="ORPHEUS_HOST"):
        run(settings_at(tmp_path, host=host))


def test_loopback_may_be_ipv6(tmp_path: Path) -> None:
    system = System(tmp_path, {"HOST": "::1"})
    system.url = f"http://[::1]:{system.port}"
    try:
        system.start_api()
    finally:
        system.stop()


def test_a_broken_handler_module_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken_tasks.py").write_text("import nothing_of_that_name\n")
    done = System(tmp_path, handlers="broken_tasks").run("api")
    assert done.returncode == 78
    assert "broken_tasks" in done.stderr
    assert "nothing_of_that_name" in done.stderr


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    with running_api(tmp_path) as api, api.store.write() as tx:
        tx.connection.execute("PRAGMA user_version = 9999")
    done = System(tmp_path).run("api")
    assert done.returncode == 78


def test_the_api_ends_with_its_writer(own: Api) -> None:
    os.kill(writer_of(own), signal.SIGKILL)
    assert exit_code(own) == 75


def test_a_writer_that_stands_still_is_killed(own: Api) -> None:
    writer = writer_of(own)
    os.kill(writer, signal.SIGSTOP)
    started = time.monotonic()
    response = own.post("/jobs", {"type": "sum_range", "payload": {"n": 1}})
    assert response.status_code == 503
    assert own.get("/livez").status_code == 200
    assert exit_code(own, timeout=20) == 75
    assert 8 < time.monotonic() - started < 18
    assert not alive(writer)


def test_the_writer_ends_with_the_api(own: Api) -> None:
    writer = writer_of(own)
    os.kill(pid_of(own), signal.SIGKILL)
    eventually(lambda: not alive(writer), timeout=5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_clean(own: Api, number: int) -> None:
    writer = writer_of(own)
    os.kill(pid_of(own), number)
    assert exit_code(own) == 0
    assert not alive(writer)


def test_a_stop_with_open_connections_is_quick(own: Api) -> None:
    """50 machine clients, 50 dashboards, and requests in the middle of a long wait."""
    job_id = own.submit()["id"]
    url = own.url.replace("http", "ws") + "/ws"
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(connect(url + mode))
            for mode in ("", "?mode=dashboard")
            for _ in range(50)
        ]
        for opened in sockets:
            assert '"hello"' in str(opened.recv(timeout=5))
        waiting = socket.create_connection(("127.0.0.1", own.system.port))
        stack.enter_context(waiting)
        waiting.sendall(f"GET /jobs/{job_id}?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        half_sent = stack.enter_context(socket.create_connection(("127.0.0.1", own.system.port)))
        half_sent.sendall(b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n")
        own.get("/livez")
        started = time.monotonic()
        os.kill(pid_of(own), signal.SIGTERM)
        assert exit_code(own) == 0
        assert time.monotonic() - started < 3
        assert b" 200 OK" in waiting.recv(65_536)
        for opened in sockets:
            assert opened.recv(timeout=5) == '{"type":"bye","retry_ms":1000}'
            with pytest.raises(ConnectionClosed) as closed:
                opened.recv(timeout=5)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012


def test_a_stop_does_not_wait_for_a_client_that_reads_nothing(own: Api) -> None:
    with socket.create_connection(("127.0.0.1", own.system.port)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(
            b"GET /ws?since=0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        jobs = [{"type": "sum_range", "payload": {"n": 1}}] * 10_000
        for _ in range(3):
            assert own.post("/jobs/batch", {"jobs": jobs}).status_code == 201
        started = time.monotonic()
        os.kill(pid_of(own), signal.SIGTERM)
        assert exit_code(own) == 0
        assert time.monotonic() - started < 4


def test_an_acknowledged_job_survives_the_death_of_everything(tmp_path: Path) -> None:
    acknowledged = []
    with running_api(tmp_path) as api:
        api.system.environment["ORPHEUS_PORT"] = str(api.system.port)
        for n in range(50):
            try:
                acknowledged.append(api.submit(payload={"n": n})["id"])
            except httpx.TransportError:
                break
            if n == 30:
                for pid in (writer_of(api), pid_of(api)):
                    os.kill(pid, signal.SIGKILL)
        exit_code(api)
        api.system.start_api()
        for job_id in acknowledged:
            assert api.get(f"/jobs/{job_id}").json()["payload"]["n"] == job_id - 1
    assert len(acknowledged) >= 31

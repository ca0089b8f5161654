"""Requests whose answer is lost on the way, or never made because the program is told to stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.api.running import Api, running_api
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

JOB = {"type": "sum_range", "payload": {"n": 1}}
BODY = b'{"type":"sum_range","payload":{"n":1}}'
POST = (
    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Idempotency-Key: lost-%d\r\nContent-Length: %d\r\n\r\n%s"
)
READS = 3


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One whose figures take minutes to read. The last test of this file ends it."""
    folder = tmp_path_factory.mktemp("slow")
    shutil.copy(Path(__file__).with_name("slow_reads.py"), folder)
    with running_api(folder, {"HANDLERS": "slow_reads"}) as api:
        yield api


def connected(api: Api, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", api.system.port), timeout=20)
    connection.sendall(request)
    return connection


def test_a_hundred_answers_lost_after_the_commit_make_a_hundred_jobs(api: Api) -> None:
    """Whoever hears nothing sends it again under the same key."""
    with ExitStack() as stack:
        for n in range(100):
            stack.enter_context(connected(api, POST % (n, len(BODY), BODY)))
        # Committed, answered, and the answers never read.
        eventually(lambda: api.store.value("SELECT count(*) FROM jobs") == 100)
    ids = set()
    for n in range(100):
        again = api.post("/jobs", JOB, headers={"Idempotency-Key": f"lost-{n}"})
        assert (again.status_code, again.headers["idempotent-replayed"]) == (200, "true")
        ids.add(again.json()["id"])
    assert len(ids) == 100
    assert api.store.value("SELECT count(*) FROM jobs") == 100


def busy_threads(pid: int) -> int:
    """How many threads of a process have used the processor for a tenth of a second or more."""
    used = []
    for thread in Path(f"/proc/{pid}/task").iterdir():
        fields = (thread / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        used.append(int(fields[11]) + int(fields[12]))
    return sum(ticks >= os.sysconf("SC_CLK_TCK") // 10 for ticks in used)


def test_queries_in_flight_do_not_keep_it_from_ending(api: Api) -> None:
    """Python waits for their threads at its exit, so they must be told to end."""
    program = api.system.api
    assert program is not None
    idle = busy_threads(program.pid)
    with ExitStack() as stack:
        for _ in range(READS):
            stack.enter_context(connected(api, b"GET /stats HTTP/1.1\r\nHost: localhost\r\n\r\n"))
        eventually(lambda: busy_threads(program.pid) >= idle + READS)
        began = time.monotonic()
        program.send_signal(signal.SIGTERM)
        assert program.wait(10) == 0
        assert time.monotonic() - began < 4

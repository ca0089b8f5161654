"""The direct client among processes: forks, deaths inside the gate, a pool that runs its jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from orpheus import DirectClient
from orpheus.client import committer
from orpheus.errors import ConfigurationError
from orpheus.ipc.locks import CLIENT, read_record
from orpheus.store import database
from tests.client.direct_setup import Folder, make_folder
from tests.support.stores import integrity
from tests.support.system import System
from tests.support.waiting import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return make_folder(tmp_path)


def forked(child: Callable[[], object]) -> Callable[[], int]:
    """A user's own fork; returns what waits for its exit code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: forking with threads
        pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return lambda: os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_client_is_used_on_both_sides_of_a_fork(folder: Folder) -> None:
    with folder.client() as client:
        client.submit("sum_range", {"n": 1})

        def produce() -> None:
            for n in range(25):
                client.submit("sum_range", {"n": n})

        waits = [forked(produce) for _ in range(3)]
        produce()
        assert [wait() for wait in waits] == [0, 0, 0]
        client.submit("sum_range", {"n": 1})
    assert folder.count("jobs") == 1 + 4 * 25 + 1
    assert folder.rows("SELECT sum(n) FROM counters") == [(102,)]
    assert integrity(folder.database) == "ok"


def test_no_connection_is_open_in_a_forked_child(folder: Folder) -> None:
    """Neither as a Python object nor as a file."""

    def look() -> None:
        assert not database._open
        opened = [os.path.realpath(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
        assert not [path for path in opened if path.startswith(str(folder.data_dir))]

    with folder.client() as client:
        client.submit("sum_range", {"n": 1})
        assert forked(look)() == 0
        assert client.submit("sum_range", {"n": 2})["id"] == 2


def test_a_closed_client_stays_closed_over_forks(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder.client() as client:
        client.submit("sum_range", {"n": 1})
    started: list[str] = []
    monkeypatch.setattr(client._committer, "_start", lambda: started.append("again"))
    for _ in range(2):
        assert forked(lambda: None)() == 0
    assert started == []


def test_forks_while_threads_submit(folder: Folder) -> None:
    """Every acknowledged job is there, and nobody waits for ever."""
    ids: list[int] = []
    stop = threading.Event()

    def produce() -> None:
        while not stop.is_set():
            ids.append(client.submit("sum_range", {"n": 1})["id"])

    with folder.client(timeout=20) as client:
        threads = [threading.Thread(target=produce) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            assert forked(lambda: client.submit("sum_range", {"n": 9}))() == 0
        stop.set()
        for thread in threads:
            thread.join()
    assert folder.count("jobs") == len(ids) + 15
    assert {row[0] for row in folder.rows("SELECT id FROM jobs")} >= set(ids)
    assert integrity(folder.database) == "ok"


def test_a_fork_that_carried_a_connection_over_refuses_to_write(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(committer, "_CLOSE_WITHIN", 0.1)

    def submit() -> None:
        with pytest.raises(ConfigurationError, match="was forked"):
            client.submit("sum_range", {"n": 1})
        with pytest.raises(ConfigurationError, match="was forked"):
            folder.client().submit("sum_range", {"n": 1})

    with folder.client() as client:
        client.submit("sum_range", {"n": 1})
        with folder.gate_held():
            assert forked(submit)() == 0
        assert client.submit("sum_range", {"n": 2})["id"] == 2


KILLED = """
import sys
from orpheus import DirectClient
from orpheus.store import also

also.LONGEST_NS = 10**11
client = DirectClient(sys.argv[1], handlers=())
client.submit("sum_range", {"n": 1})
print("acknowledged", flush=True)
client.submit("sum_range", {"n": 2}, also=[
    ("INSERT INTO orders (item) VALUES ('torn')", ()),
    ("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n", ()),
])
"""


@pytest.mark.processes
def test_a_producer_killed_inside_the_gate_leaves_it_free_and_the_file_sound(
    folder: Folder,
) -> None:
    producer = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder.data_dir)], stdout=subprocess.PIPE
    )
    try:
        assert producer.stdout is not None
        producer.stdout.readline()

        def inside() -> bool:
            record = read_record(folder.gate)
            return record is not None and (record.pid, record.kind) == (producer.pid, CLIENT)

        eventually(inside)
        time.sleep(0.05)
        assert not folder.gate_is_free()
    finally:
        producer.send_signal(signal.SIGKILL)
        producer.wait()
        if producer.stdout is not None:
            producer.stdout.close()
    assert folder.gate_is_free()
    with folder.client(timeout=5) as client:
        assert client.submit("sum_range", {"n": 3})["id"] == 2
    assert (folder.count("jobs"), folder.count("orders")) == (2, 0)
    assert integrity(folder.database) == "ok"


@pytest.mark.processes
def test_a_process_ends_while_its_submit_waits_at_a_shut_gate(folder: Folder) -> None:
    program = """
import sys
from orpheus import DirectClient
from orpheus.errors import StoreBusy

client = DirectClient(sys.argv[1], handlers=(), timeout=0.1)
try:
    client.submit("sum_range", {"n": 1})
except StoreBusy:
    print("busy")
"""
    with folder.gate_held():
        done = subprocess.run(
            [sys.executable, "-c", program, str(folder.data_dir)],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "busy\n"), done.stderr


@pytest.mark.processes
def test_a_running_pool_is_woken(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        with DirectClient(system.data_dir, handlers=["orpheus.handlers.samples"]) as client:
            client.submit("sum_range", {"n": 1})
            with system.client() as http:
                latencies = []
                for n in range(5):
                    started = time.monotonic()
                    job = client.submit("sum_range", {"n": n})
                    assert http.wait(job["id"], timeout=10)["state"] == "done"
                    latencies.append(time.monotonic() - started)
                first = http.submit("sum_range", {"n": 7}, idempotency_key="both-ways")
                same = client.submit("sum_range", {"n": 7}, idempotency_key="both-ways")
                assert same["id"] == first["id"]
                (again,) = client.submit_many([{"type": "sum_range", "payload": {"n": 1}}])
                assert http.wait(again["id"], timeout=10)["result"] == {"sum": 1}
        # A worker that nobody rings looks once a second.
        assert min(latencies) < 0.5

"""Hazards that only a whole running system shows: chance, races, stalls, open files, the log."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from orpheus.client.http import Client, OrpheusHTTPError
from orpheus.clock import SECOND_NS, SECOND_US
from tests.support.processes import children_of, stopped
from tests.support.system import System
from tests.support.waiting import eventually
from tests.worker.observed import dropped, rows, stored

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

ROOT = Path(__file__).resolve().parents[2]
# The shortest there is.
LEASE = 1
CANARY = "canary-in-a-payload"
FINAL = ("job.done", "job.failed", "job.cancelled")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(
        tmp_path_factory.mktemp("whole"),
        {
            "PROCESSES": "2",
            "LEASE_SECONDS": str(LEASE),
            "GRACE_SECONDS": "0.2",
            "LOG_LEVEL": "debug",
            "LOG_FORMAT": "json",
        },
        handlers="tests.worker.hazard_jobs,tests.worker.bad_jobs",
    )
    system.environment["PYTHONPATH"] = str(ROOT)
    with system, system.client() as client:
        eventually(lambda: len(client.workers()) == 2, timeout=20)
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with system.client() as client:
        yield client


# --- B13 ------------------------------------------------------------------------------------------


def test_two_workers_draw_different_random_numbers(client: Client) -> None:
    """They are forked from one master, whose generators they would share."""
    jobs = client.submit_many([{"type": "draw", "payload": {"seconds": 0.3}}] * 2)
    drawn = [client.wait(job["id"], timeout=20)["result"] for job in jobs]
    assert len({one["pid"] for one in drawn}) == 2
    for source in ("random", "uuid", "secrets"):
        assert len({one[source] for one in drawn}) == 2, source


# --- B9 -------------------------------------------------------------------------------------------


def test_cancelling_against_finishing_five_hundred_times(system: System, client: Client) -> None:
    """Whoever is first, each job ends once, and as whoever cancelled it was told."""
    rng = Random(9)
    payloads = [{"milliseconds": rng.choice([1, 2, 5, 10])} for _ in range(600)]
    jobs = [{"type": "short", "payload": payload} for payload in payloads]
    ids = [job["id"] for job in client.submit_many(jobs)]
    told: dict[int, int] = {}
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: cancel_some(system, ids, told), range(4)))
    eventually(lambda: not rows(system, "SELECT 1 FROM jobs WHERE finished_at IS NULL"), timeout=30)
    allowed = {200: {"cancelled"}, 202: {"cancelled", "done"}, 409: {"done"}}
    states = dict(rows(system, "SELECT id, state FROM jobs WHERE id >= ?", ids[0]))
    for id_, answer in told.items():
        assert states[id_] in allowed[answer], (id_, answer)
    marks = ", ".join(f"'{event}'" for event in FINAL)
    sql = f"SELECT job_id, count(*) FROM events WHERE event IN ({marks}) GROUP BY job_id"
    ends = dict(rows(system, sql))
    assert {ends[id_] for id_ in ids} == {1}
    wrong = "SELECT id FROM jobs WHERE id >= ? AND (result IS NULL) = (state = 'done')"
    assert rows(system, wrong, ids[0]) == []
    # Each answer was given now and then, or there was no race.
    assert len(told) >= 500
    assert set(told.values()) == set(allowed), Counter(told.values())


def cancel_some(system: System, ids: list[int], told: dict[int, int]) -> None:
    """Cancel what has just been claimed, and now and then what waits or has ended."""
    places = {
        "claimed": "SELECT job_id FROM attempts WHERE outcome IS NULL ORDER BY id DESC LIMIT 20",
        "waiting": "SELECT id FROM jobs WHERE state = 'pending' ORDER BY id DESC LIMIT 20",
        "ended": "SELECT id FROM jobs WHERE state = 'done' ORDER BY id DESC LIMIT 600",
    }
    uri = f"file:{system.data_dir}/orpheus.db?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True)) as connection,
        closing(HTTPConnection("127.0.0.1", system.port, timeout=20)) as http,
    ):
        for n in count():
            if len(told) >= 500:
                return
            place = {0: "waiting", 1: "ended"}.get(n % 10, "claimed")
            found = [id_ for (id_,) in connection.execute(places[place]).fetchall()]
            if not found:
                found = [id_ for (id_,) in connection.execute(places["ended"]).fetchall()]
            left = [id_ for id_ in found if id_ in ids and id_ not in told]
            if not left:
                continue
            told[left[0]] = 0  # taken by this thread
            http.request("POST", f"/jobs/{left[0]}/cancel")
            with http.getresponse() as response:
                response.read()
                told[left[0]] = response.status


# --- B5, B16 --------------------------------------------------------------------------------------


@contextmanager
def running(system: System, client: Client, leases: float) -> Iterator[int]:
    """The id of a job that runs for so long; in the end it was run once, and nobody was killed."""
    master = system.pools["main"].pid
    pids = sorted(children_of(master))
    payload = {"milliseconds": int(leases * LEASE * 1000)}
    job_id: int = client.submit("short", payload)["id"]
    eventually(lambda: client.get(job_id)["state"] == "in_progress")
    yield job_id
    job = client.wait(job_id, timeout=30)
    assert (job["state"], job["retries"], job["crashes"]) == ("done", 0, 0)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["done"]
    assert sorted(children_of(master)) == pids


def test_a_master_stopped_for_more_than_a_lease_finds_all_as_it_was(
    system: System, client: Client
) -> None:
    """Leases are not its business, and on waking it blames nobody for the time it missed."""

    def renewed_at() -> int:
        ((at,),) = rows(system, "SELECT max(heartbeat_at) FROM workers")
        return int(at)

    master = system.pools["main"].pid
    with running(system, client, leases=1.8):
        os.kill(master, signal.SIGSTOP)
        try:
            eventually(lambda: stopped(master))
            began = renewed_at()
            # Renewed again and again, until so much time has passed.
            eventually(lambda: renewed_at() > began + 1.5 * LEASE * SECOND_US)
        finally:
            os.kill(master, signal.SIGCONT)


def test_a_write_lock_held_for_two_leases_costs_no_job_its_attempt(
    system: System, client: Client
) -> None:
    """No lease can be renewed meanwhile; that time has passed is no reason to take one away."""

    def expires(job_id: int) -> int:
        ((at,),) = rows(system, "SELECT lease_expires FROM attempts WHERE job_id = ?", job_id)
        return int(at)

    path = system.data_dir / "orpheus.db"
    with (
        running(system, client, leases=1.5) as job_id,
        closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as stranger,
    ):
        stranger.execute("BEGIN IMMEDIATE")
        before = expires(job_id)
        eventually(lambda: time.monotonic_ns() > before + LEASE * SECOND_NS)
        assert expires(job_id) == before
        stranger.execute("ROLLBACK")


# --- A9 -------------------------------------------------------------------------------------------


def test_only_sqlite_has_the_database_open_in_any_process(system: System, client: Client) -> None:
    """A second descriptor of it that somebody closes would drop the locks of that process."""
    client.wait(client.submit("short", {"milliseconds": 0})["id"], timeout=20)
    assert system.api is not None
    master = system.pools["main"].pid
    (writer,) = children_of(system.api.pid)
    # One connection each; the API has three, which share the file beside the log.
    connections = {writer: 1, system.api.pid: 3, master: 0}
    connections |= dict.fromkeys(children_of(master), 1)
    assert len(connections) >= 6
    for pid, own in connections.items():
        opened = opened_by(pid)
        assert opened["orpheus.db"] == own, (pid, opened)
        assert opened["orpheus.db-shm"] == min(1, own), (pid, opened)
        # No lock hangs on those of the log, which Orpheus reads and syncs by itself.
        assert opened["orpheus.db-wal"] in (own, own + 1), (pid, opened)


def opened_by(pid: int) -> Counter[str]:
    """The names of the files that a process has open."""
    folder = f"/proc/{pid}/fd"
    found: Counter[str] = Counter()
    for name in os.listdir(folder):
        try:
            found[os.path.basename(os.readlink(f"{folder}/{name}"))] += 1
        except FileNotFoundError:
            continue
    return found


# --- D16 ------------------------------------------------------------------------------------------


def test_a_secret_in_a_payload_is_in_no_log(system: System, client: Client) -> None:
    """At the level that says most, of jobs that end in every bad way."""
    ids = []
    for how in ("raise", "exit", "hang"):
        payload = {"password": CANARY, "note": f"{CANARY}\r\n{{}}", "how": how}
        options: dict[str, Any] = {"max_retries": 1, "timeout": 0.3, "unique_key": how}
        ids.append(client.submit("mishandles", payload, **options)["id"])
    with pytest.raises(OrpheusHTTPError):
        client.submit("mishandles", {"password": CANARY})
    eventually(lambda: rows(system, "SELECT 1 FROM attempts WHERE outcome = 'timed_out'"), 20)
    eventually(lambda: rows(system, "SELECT 1 FROM attempts WHERE outcome = 'crashed'"), 20)
    for id_ in ids:
        try:
            client.cancel(id_)
        except OrpheusHTTPError:
            pass
        client.wait(id_, timeout=20)
    # Who asks for the job sees it; a log is read by others.
    assert CANARY in client.get(ids[0])["payload"]["note"]
    for told in ('"status": 422', '"exit": "exit 3"'):
        eventually(lambda told=told: told in system.log())  # type: ignore[misc]
    assert CANARY not in system.log()


# --- 5b -------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_million_log_lines_are_stored_or_counted(system: System, client: Client) -> None:
    """The job does not wait for whoever stores them."""
    before = dropped(system)
    id_ = client.submit("chatters", {"lines": 1_000_000}, timeout=100)["id"]
    assert client.wait(id_, timeout=100)["state"] == "done"
    eventually(lambda: stored(system, id_) + dropped(system) - before == 1_000_000, timeout=60)

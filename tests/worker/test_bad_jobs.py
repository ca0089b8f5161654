"""Each bad job ends as it should, and the others around it are unharmed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from orpheus.client.http import Client
from orpheus.worker.prints import MOST
from tests.support.system import System
from tests.support.waiting import eventually
from tests.worker.observed import dropped, rows, stored

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(
        tmp_path_factory.mktemp("bad"),
        {"PROCESSES": "3", "GRACE_SECONDS": "0.5"},
        handlers="tests.worker.bad_jobs",
    )
    system.environment["PYTHONPATH"] = str(ROOT)
    with system:
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with system.client() as client:
        yield client


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def test_jobs_that_cannot_be_asked_to_end_are_killed_in_time(
    client: Client, system: System
) -> None:
    options: dict[str, Any] = {"timeout": 0.5, "max_retries": 0}
    # A C call holds the interpreter; the second is deaf to TERM and obeys the soft stop; the third
    # swallows that.
    names = ("c_call", "deaf", "stubborn")
    ids = {name: client.submit(name, {}, **options)["id"] for name in names}
    others = [client.submit("state", {})["id"] for _ in range(20)]
    for name, id_ in ids.items():
        ended = client.wait(id_, timeout=20)
        assert (ended["state"], ended["error"]["kind"]) == ("failed", "timed_out"), name
        (attempt,) = ended["attempts"]
        assert attempt["exit"] == (None if name == "deaf" else "SIGKILL"), name
        assert moment(attempt["finished_at"]) - moment(attempt["started_at"]) < 0.5 + 0.5 + 2
        if name != "deaf":
            # Where it was, in the worker's log.
            assert re.search(rf"line \d+ in {name}\\n", system.log()), name
    assert all(client.wait(other, timeout=20)["state"] == "done" for other in others)


def test_a_cancelled_job_that_does_not_listen_is_killed_after_the_grace(client: Client) -> None:
    id_ = client.submit("stubborn", {})["id"]
    eventually(lambda: client.get(id_)["started_at"] is not None, timeout=20)
    client.cancel(id_)
    ended = client.wait(id_, timeout=20)
    assert (ended["state"], ended["error"]["kind"]) == ("cancelled", "cancelled")
    assert (ended["crashes"], ended["retries"]) == (0, 0)
    (attempt,) = ended["attempts"]
    assert (attempt["outcome"], attempt["exit"]) == ("cancelled", "SIGKILL")


def test_an_exit_without_an_error_is_a_crash_and_no_success(client: Client, system: System) -> None:
    clean = client.submit("exits", {"how": "clean"})["id"]
    aborts = client.submit("exits", {"how": "abort"})["id"]
    for id_, exit_ in ((clean, None), (aborts, "SIGABRT")):
        ended = client.wait(id_, timeout=20)
        assert (ended["state"], ended["error"]["kind"]) == ("failed", "crashed")
        (attempt,) = ended["attempts"]
        assert (attempt["outcome"], attempt["exit"]) == ("crashed", exit_)
        states = rows(system, "SELECT state FROM workers WHERE pid = ?", attempt["pid"])
        assert states == [("crashed",)]


@pytest.mark.parametrize("what", ["closed", "replaced"])
def test_a_result_that_cannot_be_written_any_more_is_a_failure_and_no_loop(
    client: Client, what: str
) -> None:
    payload = {"what": what, "size": 100_000}
    ended = client.wait(client.submit("spoil", payload, max_retries=0)["id"], timeout=20)
    assert (ended["state"], ended["error"]["type"]) == ("failed", "ResultLost")


def test_a_job_cannot_open_the_database_as_a_file(client: Client, system: System) -> None:
    path = str(system.data_dir / "orpheus.db")
    ended = client.wait(client.submit("opens", {"path": path}, max_retries=0)["id"], timeout=20)
    assert (ended["state"], ended["error"]["type"]) == ("failed", "PermissionError")
    assert "drops SQLite's locks" in ended["error"]["message"]


def test_a_handler_module_that_fails_ends_the_pool_with_78(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import orpheus\n1 / 0\n")
    done = System(tmp_path, {"PROCESSES": "2"}, handlers="broken").run("worker")
    assert done.returncode == 78
    assert 1 <= done.stderr.count("broken.py, line 2: ZeroDivisionError") <= 2


def test_a_memory_hog_fails_and_its_limit_goes_with_it(client: Client) -> None:
    ids = [client.submit("hog", {}, max_retries=0)["id"] for _ in range(8)]
    for id_ in ids:
        ended = client.wait(id_, timeout=20)
        assert (ended["state"], ended["error"]["type"]) == ("failed", "MemoryError")
    limits = [client.submit("state", {})["id"] for _ in range(8)]
    assert {client.wait(one, timeout=20)["result"]["limits"][0] for one in limits} == {-1}


def test_what_a_job_prints_is_in_its_log(client: Client) -> None:
    id_ = client.submit("says", {})["id"]
    assert client.wait(id_, timeout=20)["state"] == "done"
    eventually(lambda: len(client.logs(id_)) == 5)
    lines = client.logs(id_)
    assert sorted((line["stream"], line["message"]) for line in lines) == [
        ("log", "logged"),
        ("stderr", "to stderr"),
        ("stdout", "bytes: ä"),
        ("stdout", "to stdout, in parts"),
        ("stdout", "without an end"),
    ]


def test_a_hundred_megabytes_of_prints_are_cut_and_the_job_is_done(
    client: Client, system: System
) -> None:
    before = system.log_path.stat().st_size
    id_ = client.submit("prints", {"megabytes": 100})["id"]
    assert client.wait(id_, timeout=60)["result"] == "done"
    eventually(lambda: "dropped" in all_logs(client, id_)[-1]["message"])
    lines = all_logs(client, id_)
    assert MOST * 0.9 < sum(len(line["message"]) + 1 for line in lines) < MOST + 100
    assert system.log_path.stat().st_size - before < 100_000


def test_log_lines_that_do_not_fit_the_pipe_are_counted_and_cost_the_job_nothing(
    client: Client, system: System
) -> None:
    before = dropped(system)
    id_ = client.submit("chatters", {"lines": 20_000})["id"]
    assert client.wait(id_, timeout=60)["state"] == "done"
    eventually(lambda: stored(system, id_) + dropped(system) - before == 20_000, timeout=20)
    # Counted once, however often it is looked at.
    client.wait(client.submit("chatters", {"lines": 1})["id"])
    eventually(lambda: told(system) == dropped(system), timeout=20)


def told(system: System) -> int:
    """What the figures say of it."""
    total = "SELECT coalesce(sum(value), 0) FROM totals WHERE name = 'output_dropped'"
    return int(rows(system, total)[0][0])


def all_logs(client: Client, id_: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while page := client.logs(id_, after=found[-1]["seq"] if found else 0):
        found += page
    return found

"""What a job changes in its worker the next job does not find; what cannot be undone goes with it.

One worker runs everything, so that whatever stayed would be seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus.client.http import Client
from orpheus.ipc.process import group_members
from tests.support.processes import alive
from tests.support.system import System
from tests.support.waiting import eventually
from tests.worker.bad_jobs import CHANGES, SPOILS

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]

ROOT = Path(__file__).resolve().parents[2]
# What Python does not tell of, and a job in no time.
_UNHEARD = {"closed", "replaced", "user"}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    system = System(
        tmp_path_factory.mktemp("clean"), {"PROCESSES": "1"}, handlers="tests.worker.bad_jobs"
    )
    system.environment["PYTHONPATH"] = str(ROOT)
    with system:
        yield system


@pytest.fixture
def client(system: System) -> Iterator[Client]:
    with system.client() as client:
        yield client


def result(client: Client, type_: str, **payload: Any) -> Any:
    ended = client.wait(client.submit(type_, payload)["id"], timeout=30)
    assert ended["state"] == "done", ended["error"]
    assert (ended["attempt"], ended["crashes"], ended["retries"]) == (1, 0, 0)
    return ended["result"]


# Long ones are looked at by themselves, short ones where they do something that is heard.
LONG = ("signals", "silent alarm", "standard", "interpreter")


@pytest.mark.parametrize(
    ("what", "seconds"), [*((what, 0) for what in CHANGES), *((what, 0.002) for what in LONG)]
)
def test_the_next_job_finds_the_state_as_it_was(client: Client, what: str, seconds: float) -> None:
    before = result(client, "state")
    assert result(client, "change", what=what, seconds=seconds) == before["pid"]
    after = result(client, "state")
    if what == "priority" and after["pid"] != before["pid"]:
        # Only root may raise it again: others have to begin anew.
        after["pid"] = after["group"] = before["pid"]
    assert after == before


def test_jobs_of_one_batch_find_it_too(client: Client) -> None:
    """Those are not even looked at one by one where they are short."""
    noticed = ["folder", "umask", "environment", "alarm", "streams", "decimal", "variable",
               "ending thread", "closed stream"]  # fmt: skip
    before = result(client, "state")
    jobs = []
    for what in noticed * 3:
        jobs.append({"type": "change", "payload": {"what": what}})
        jobs.append({"type": "state"})
    ids = [job["id"] for job in client.submit_many(jobs)]
    found = [client.wait(id_, timeout=30)["result"] for id_ in ids]
    changed = {
        name
        for state in found[1::2]
        for name in before
        if state[name] != before[name]
    }  # fmt: skip
    # What is not heard (the precision) the rest of a batch may find.
    assert changed <= {"decimal"}


def test_what_was_undone_is_in_the_log_once_for_each_type(client: Client, system: System) -> None:
    for _ in range(3):
        result(client, "change", what="folder", seconds=0.002)
    lines = [line for line in system.log().splitlines() if '"working folder"' in line]
    assert len([line for line in lines if '["working folder"]' in line]) == 1
    assert '"type": "change"' in lines[0]


@pytest.mark.parametrize(
    ("what", "seconds"), [*((what, 0.002) for what in SPOILS), ("closed", 0), ("thread", 0)]
)
def test_what_cannot_be_undone_replaces_the_worker_and_costs_no_job_anything(
    client: Client, system: System, what: str, seconds: float
) -> None:
    if what == "user" and os.geteuid() != 0:
        pytest.skip("only root can become another user")
    # Too large for the outbox: with a thread it is written all the same.
    size = 100_000 if what in ("thread", "program") and seconds else 0
    pid = result(client, "state")["pid"]
    first, *others = client.submit_many(
        [
            {"type": "spoil", "payload": {"what": what, "size": size, "seconds": seconds}},
            *({"type": "state"} for _ in range(20)),
        ]
    )
    ended = client.wait(first["id"], timeout=30)
    assert (ended["state"], ended["result"]["pid"]) == ("done", pid)
    assert [one["outcome"] for one in ended["attempts"]] == ["done"]
    for other in others:
        done = client.wait(other["id"], timeout=30)
        assert (done["state"], done["retries"], done["crashes"]) == ("done", 0, 0)
        # Short jobs are judged as a batch, before anything of it is written.
        assert done["result"]["pid"] != pid or (not seconds and what in _UNHEARD)
        assert [one["outcome"] for one in done["attempts"]].count("done") == 1
    eventually(lambda: '"type": "spoil"' in system.log())
    eventually(lambda: [one["pid"] for one in client.workers()] not in ([], [pid]))


@pytest.mark.parametrize("name", ["uses_threads", "shares_memory"])
def test_what_ends_by_itself_or_with_the_worker_costs_no_worker(client: Client, name: str) -> None:
    pid = result(client, "state")["pid"]
    for _ in range(3):
        assert result(client, name) == pid
    assert result(client, "state")["pid"] == pid


def test_programs_that_jobs_left_are_gone(client: Client) -> None:
    result(client, "spoil", what="thread", seconds=0.002)  # a new worker, without helpers
    pid = result(client, "change", what="program")
    result(client, "change", what="grandchild")
    assert [one for one, _ in group_members(pid) if alive(one)] == [pid]

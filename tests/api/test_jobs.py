"""Looking at jobs and acting on one, as the contract has it."""

from __future__ import annotations

import json

import pytest

from orpheus.api.schemas import Job, JobPage, Logs
from orpheus.domain.attempt import Outcome
from orpheus.store import logs
from tests.api.running import Api, refused, shaped

ACTS = (("GET", ""), ("DELETE", ""), ("GET", "/logs"), ("POST", "/cancel"), ("POST", "/retry"))


@pytest.mark.parametrize(("method", "tail"), ACTS)
def test_an_unknown_job_is_not_found(api: Api, method: str, tail: str) -> None:
    for job_id in ("0", "999999999", str(2**63 - 1)):
        refused(api.http.request(method, f"/jobs/{job_id}{tail}"), 404, "not_found")


@pytest.mark.parametrize(("method", "tail"), ACTS)
@pytest.mark.parametrize("job_id", ["x", "-1", "1.0", "1e3", "' OR 1=1--", "٣", "x" * 300, "+1"])
def test_a_malformed_id_is_refused(api: Api, method: str, tail: str, job_id: str) -> None:
    refused(api.http.request(method, f"/jobs/{job_id}{tail}"), 422, "invalid_parameter")


@pytest.mark.parametrize("job_id", [2**63, 2**70, 10**300])
def test_an_id_beyond_all_ids_is_out_of_range(api: Api, job_id: int) -> None:
    refused(api.get(f"/jobs/{job_id}"), 422, "out_of_range")


def test_a_running_job_shows_its_attempt(api: Api) -> None:
    job_id = api.submit()["id"]
    claim = api.claim(job_id)
    with api.store.write() as tx:
        logs.set_progress(
            tx,
            [logs.Progress(job_id, claim.attempt_id, json.dumps({
                "value": 0.5, "current": 1, "total": 2, "message": "half",
                "at": "2026-01-01T00:00:00.000000Z",
            }))],
        )  # fmt: skip
    job = shaped(api.get(f"/jobs/{job_id}"), Job)
    assert job["state"] == "in_progress"
    assert job["progress"]["message"] == "half"
    (attempt,) = job["attempts"]
    assert attempt["attempt"] == 1
    assert attempt["outcome"] is None
    assert job["worker"] == attempt["worker"]


def test_a_job_with_several_attempts_shows_all(api: Api) -> None:
    job_id = api.submit()["id"]
    api.finish(job_id, Outcome.CRASHED, exit="SIGKILL")
    api.finish(job_id, Outcome.DONE, result='{"sum":55}')
    job = shaped(api.get(f"/jobs/{job_id}"), Job)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["crashed", "done"]
    assert job["attempts"][0]["exit"] == "SIGKILL"
    assert job["result"] == {"sum": 55}
    assert job["error"] is None


def test_deleting_wants_a_job_that_has_ended(api: Api) -> None:
    job_id = api.submit()["id"]
    refused(api.http.delete(f"/jobs/{job_id}"), 409, "invalid_state")
    api.finish(job_id)
    response = api.http.delete(f"/jobs/{job_id}")
    assert (response.status_code, response.content) == (204, b"")
    refused(api.get(f"/jobs/{job_id}"), 404, "not_found")


def test_logs_are_read_in_pages(api: Api) -> None:
    job_id = api.submit()["id"]
    assert shaped(api.get(f"/jobs/{job_id}/logs"), Logs) == {"items": [], "last_seq": 0}
    lines = [logs.LogLine(job_id, 1, n, "info", f"line {n}", '{"n":1}') for n in range(5)]
    with api.store.write() as tx:
        logs.append(tx, lines)
    first = shaped(api.get(f"/jobs/{job_id}/logs?limit=3"), Logs)
    assert [line["message"] for line in first["items"]] == ["line 0", "line 1", "line 2"]
    rest = shaped(api.get(f"/jobs/{job_id}/logs?after={first['last_seq']}"), Logs)
    assert [line["message"] for line in rest["items"]] == ["line 3", "line 4"]
    end = rest["last_seq"]
    assert shaped(api.get(f"/jobs/{job_id}/logs?after={end}"), Logs)["last_seq"] == end


def test_cancelling_a_waiting_job_twice_is_fine(api: Api) -> None:
    for delay in (0, 60):
        job_id = api.submit(delay=delay)["id"]
        for _ in range(2):
            response = api.post(f"/jobs/{job_id}/cancel")
            assert response.status_code == 200
            assert shaped(response, Job)["state"] == "cancelled"


def test_cancelling_a_running_job_is_accepted_each_time(api: Api) -> None:
    job_id = api.submit()["id"]
    api.claim(job_id)
    for _ in range(2):
        response = api.post(f"/jobs/{job_id}/cancel")
        assert response.status_code == 202
        assert shaped(response, Job)["cancel_requested"] is True


@pytest.mark.parametrize("outcome", [Outcome.DONE, Outcome.FAILED_PERMANENT])
def test_cancelling_an_ended_job_is_too_late(api: Api, outcome: Outcome) -> None:
    job_id = api.submit()["id"]
    api.finish(job_id, outcome)
    refused(api.post(f"/jobs/{job_id}/cancel"), 409, "invalid_state")


def test_retrying_gives_the_budgets_back(api: Api) -> None:
    job_id = api.submit(max_retries=1)["id"]
    api.finish(job_id, Outcome.FAILED)
    assert api.post(f"/jobs/{job_id}/retry").json()["state"] == "pending"  # it was scheduled
    api.finish(job_id, Outcome.FAILED)
    assert api.get(f"/jobs/{job_id}").json()["state"] == "failed"
    job = shaped(api.post(f"/jobs/{job_id}/retry"), Job)
    assert (job["state"], job["retries"], job["attempt"]) == ("pending", 0, 2)
    assert len(job["attempts"]) == 2
    assert api.post(f"/jobs/{job_id}/retry").json() == job


def test_retrying_a_running_or_done_job_is_refused(api: Api) -> None:
    job_id = api.submit()["id"]
    worker = api.worker()
    claim = api.claim(job_id, worker)
    refused(api.post(f"/jobs/{job_id}/retry"), 409, "invalid_state")
    worker.finish(claim.attempt_id)
    refused(api.post(f"/jobs/{job_id}/retry"), 409, "invalid_state")


def test_retrying_against_another_holder_of_the_key_is_a_conflict(api: Api) -> None:
    first = api.submit(unique_key="contested")["id"]
    api.post(f"/jobs/{first}/cancel")
    api.submit(unique_key="contested")
    refused(api.post(f"/jobs/{first}/retry"), 409, "unique_conflict")


def test_acting_on_many_and_schedules_are_not_there_yet(api: Api) -> None:
    refused(api.post("/jobs/actions", {"action": "cancel"}), 404, "not_found")
    refused(api.get("/schedules"), 404, "not_found")
    refused(api.http.put("/schedules/nightly", json={}), 404, "not_found")


# --- lists ----------------------------------------------------------------------------------------


def ids(api: Api, query: str) -> list[int]:
    """All ids of a filter, page by page."""
    found: list[int] = []
    cursor = ""
    while True:
        page = shaped(api.get(f"/jobs?{query}{cursor}"), JobPage)
        found += [job["id"] for job in page["items"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


def test_filters_add_within_a_name_and_restrict_between_names(api: Api) -> None:
    a1 = api.submit(queue="list-a", tags=["red"])["id"]
    a2 = api.submit(queue="list-a", tags=["red", "blue"])["id"]
    b1 = api.submit(queue="list-b", tags=["blue"], delay=60)["id"]
    b2 = api.submit("wordcount", payload={"text": "x"}, queue="list-b")["id"]
    api.finish(a1)
    assert ids(api, "queue=list-a") == [a2, a1]
    assert ids(api, "queue=list-a&order=asc") == [a1, a2]
    assert ids(api, "queue=list-a&queue=list-b") == [b2, b1, a2, a1]
    assert ids(api, "queue=list-b&type=wordcount") == [b2]
    assert ids(api, "tag=red&tag=blue&limit=1") == [b1, a2, a1]
    assert ids(api, "tag=blue&state=scheduled") == [b1]
    assert ids(api, "queue=list-a&state=done&state=pending&limit=1") == [a2, a1]
    assert ids(api, "queue=list-a&state=pending") == [a2]
    assert ids(api, "queue=nowhere") == []


@pytest.mark.parametrize(
    "state", ["scheduled", "pending", "in_progress", "done", "failed", "cancelled"]
)
def test_each_state_lists_exactly_its_jobs(api: Api, state: str) -> None:
    mine = []
    for _ in range(3):
        job_id = api.submit(delay=60 if state == "scheduled" else 0, max_retries=0)["id"]
        mine.append(job_id)
        if state == "in_progress":
            api.claim(job_id)
        elif state == "done":
            api.finish(job_id)
        elif state == "failed":
            api.finish(job_id, Outcome.FAILED)
        elif state == "cancelled":
            api.post(f"/jobs/{job_id}/cancel")
    expected = [
        row[0] for row in api.store.rows(f"SELECT id FROM jobs WHERE state = '{state}' ORDER BY id")
    ]
    assert set(mine) <= set(expected)
    assert ids(api, f"state={state}&limit=2&order=asc") == expected
    assert ids(api, f"state={state}&limit=2") == expected[::-1]


def test_rows_leave_the_large_parts_out(api: Api) -> None:
    job_id = api.submit(max_retries=0, queue="large-parts")["id"]
    api.finish(job_id, Outcome.FAILED)
    (row,) = shaped(api.get("/jobs?queue=large-parts"), JobPage)["items"]
    assert not {"payload", "result", "meta", "attempts"} & row.keys()
    assert row["error"] == {"type": "ValueError", "message": "no", "kind": "failed"}


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=-1", "limit=201", "limit=1e3", "limit=abc", "limit=", "limit=1&limit=2",
        "cursor=AAAA", "cursor=%00", "cursor=ZGVzYzoxeA", "cursor=" + "A" * 5000,
        "sort=id;drop table", "order=sideways", "order=", "state=running", "state=", "type=%20",
        "queue=a%00b",        "tag=" + "x" * 101, "&".join(["tag=a"] * 51), "cursor=YXNjOjU",
    ],
)  # fmt: skip
def test_a_malformed_query_is_refused(api: Api, query: str) -> None:
    refused(api.get(f"/jobs?{query}"), 422, "invalid_parameter")

"""`?wait=`: an answer when the job has ended, or when the time is up."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.api.running import Api
from tests.support.waiting import eventually


def test_a_wait_ends_with_the_job(api: Api) -> None:
    job_id = api.submit()["id"]
    worker = api.worker()
    claim = api.claim(job_id, worker)
    with ThreadPoolExecutor() as pool:
        answers = [pool.submit(api.get, f"/jobs/{job_id}?wait=30") for _ in range(5)]
        eventually(lambda: all(answer.running() for answer in answers))
        started = time.monotonic()
        worker.finish(claim.attempt_id, result='{"sum":55}')
        for answer in answers:
            assert answer.result(timeout=10).json()["state"] == "done"
    assert time.monotonic() - started < 3


def test_a_wait_ends_with_the_time(api: Api) -> None:
    job_id = api.submit()["id"]
    started = time.monotonic()
    assert api.get(f"/jobs/{job_id}?wait=0.3").json()["state"] == "pending"
    assert 0.3 <= time.monotonic() - started < 5


def test_a_submit_can_wait(api: Api) -> None:
    for job in api.get("/jobs?state=pending&limit=200").json()["items"]:
        api.post(f"/jobs/{job['id']}/cancel")
    worker = api.worker()
    with ThreadPoolExecutor() as pool:
        body = {"type": "sum_range", "payload": {"n": 10}}
        answer = pool.submit(api.post, "/jobs?wait=30", body)
        (claim,) = eventually(worker.claim)
        worker.finish(claim.attempt_id, result='{"sum":55}')
        response = answer.result(timeout=10)
    assert response.status_code == 201
    assert response.json()["result"] == {"sum": 55}


def test_ended_and_unknown_jobs_are_not_waited_for(api: Api) -> None:
    job_id = api.submit()["id"]
    api.finish(job_id)
    started = time.monotonic()
    assert api.get(f"/jobs/{job_id}?wait=30").json()["state"] == "done"
    assert api.get("/jobs/999999?wait=30").status_code == 404
    assert time.monotonic() - started < 5


def test_a_waiter_that_leaves_hurts_nobody(api: Api) -> None:
    job_id = api.submit()["id"]
    for _ in range(20):
        try:
            api.get(f"/jobs/{job_id}?wait=30", timeout=0.02)
        except httpx.TimeoutException:
            pass
    assert api.get("/healthz").status_code == 200

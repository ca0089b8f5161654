"""POST /jobs and POST /jobs/batch, as the contract has them."""

from __future__ import annotations

from typing import Any

import pytest

from orpheus.api.schemas import BatchItem, Items, Job, SubmittedJob
from orpheus.domain.attempt import Outcome
from tests.api.running import Api, refused, shaped


def test_a_new_job_is_created_and_located(api: Api) -> None:
    response = api.post("/jobs", {"type": "sum_range", "payload": {"n": 3}})
    assert response.status_code == 201
    job = shaped(response, Job)
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert job["state"] == "pending"
    assert job["payload"] == {"n": 3}
    assert job["attempts"] == []
    assert job["created_at"].endswith("Z")
    assert len(job["created_at"]) == len("2026-01-31T12:00:00.000000Z")
    assert api.get(f"/jobs/{job['id']}").json() == job


def test_every_option_is_kept(api: Api) -> None:
    options: dict[str, Any] = {
        "queue": "images",
        "priority": -100,
        "max_retries": 0,
        "timeout": 1.5,
        "unique_key": "every:option",
        "tags": ["a", "b"],
        "meta": {"who": "me"},
    }
    job = api.submit(**options)
    assert {name: job[name] for name in options} == options


def test_a_delay_schedules(api: Api) -> None:
    assert api.submit(delay=60)["state"] == "scheduled"
    assert api.submit(run_at="2001-01-01T00:00:00+02:00")["state"] == "pending"


@pytest.mark.parametrize(
    "value", [2**70, -(2**70), 1.5e300, "\x00", "💥", [[[]]], {"x": {"y": None}}]
)
def test_any_value_comes_back_digit_for_digit(api: Api, value: object) -> None:
    # No sample takes just anything as its payload, so the value travels in meta.
    assert api.submit(meta={"value": value})["meta"] == {"value": value}


def test_a_held_unique_key_answers_its_holder(api: Api) -> None:
    first = api.submit(unique_key="held")
    response = api.post("/jobs", {"type": "sum_range", "payload": {"n": 99}, "unique_key": "held"})
    assert response.status_code == 200
    second = shaped(response, SubmittedJob)
    assert second == {**first, "deduplicated": True}
    api.finish(first["id"])
    assert api.submit(unique_key="held")["id"] != first["id"]


def test_an_idempotency_key_replays_the_job_as_it_is_now(api: Api) -> None:
    body = {"type": "sum_range", "payload": {"n": 4}}
    first = api.post("/jobs", body, headers={"Idempotency-Key": "again"})
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    api.finish(first.json()["id"], result="4")
    # Quoted or bare is the same key, and equal after parsing is the same body.
    second = api.http.post(
        "/jobs",
        content=b'{ "payload": {"n":4}, "type": "sum_range" }',
        headers={"Idempotency-Key": '"again"', "Content-Type": "application/json"},
    )
    assert second.status_code == 200
    assert second.headers["idempotent-replayed"] == "true"
    assert shaped(second, Job)["id"] == first.json()["id"]
    assert second.json()["state"] == "done"


@pytest.mark.parametrize("path", ["/jobs", "/jobs/batch"])
def test_an_idempotency_key_with_another_body_is_a_conflict(api: Api, path: str) -> None:
    def body(n: int) -> dict[str, Any]:
        job = {"type": "sum_range", "payload": {"n": n}}
        return job if path == "/jobs" else {"jobs": [job]}

    headers = {"Idempotency-Key": f"other {path}"}
    assert api.post(path, body(1), headers=headers).status_code == 201
    refused(api.post(path, body(2), headers=headers), 422, "idempotency_conflict")
    replay = api.post(path, body(1), headers=headers)
    assert (replay.status_code, replay.headers["idempotent-replayed"]) == (200, "true")


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "tab\there", b"caf\xe9"])
def test_an_unusable_idempotency_key_is_refused(api: Api, key: str | bytes) -> None:
    response = api.post(
        "/jobs", {"type": "sum_range", "payload": {"n": 1}}, headers=[("Idempotency-Key", key)]
    )
    refused(response, 422, "invalid_parameter")


def test_a_batch_is_answered_in_order(api: Api) -> None:
    jobs: list[dict[str, Any]] = [{"type": "sum_range", "payload": {"n": n}} for n in range(50)]
    jobs[7]["delay"] = 60
    jobs[8]["unique_key"] = jobs[9]["unique_key"] = "twice-in-a-batch"
    response = api.post("/jobs/batch", {"jobs": jobs})
    assert response.status_code == 201
    items = shaped(response, Items[BatchItem])["items"]
    assert len(items) == 50
    assert items[7]["state"] == "scheduled"
    assert items[9] == {**items[8], "deduplicated": True}
    assert api.get(f"/jobs/{items[3]['id']}").json()["payload"] == {"n": 3}


def test_jobs_that_are_alike_are_answered_in_order(api: Api) -> None:
    jobs = [{"type": "wordcount", "payload": {"text": f"{n}ä"}} for n in range(451)]
    response = api.post("/jobs/batch", {"jobs": jobs})
    assert response.status_code == 201
    items = shaped(response, Items[BatchItem])["items"]
    first = items[0]["id"]
    assert items == [
        {"id": first + n, "ref": None, "state": "pending", "deduplicated": False}
        for n in range(451)
    ]
    for n in (0, 200, 450):
        assert api.get(f"/jobs/{first + n}").json()["payload"] == {"text": f"{n}ä"}


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ('{"text":1e999}', "non_finite_number"),
        ('{"text":-1e999,"n":1}', "non_finite_number"),
        ('{"text":' + "[" * 60 + "]" * 60 + "}", "invalid_payload"),
        ('{"text":' + "[" * 61 + "]" * 61 + "}", "too_deep"),
        ('{"text":' + '{"a":' * 61 + "1" + "}" * 61 + "}", "too_deep"),
        ('{"text":NaN}', "invalid_json"),
        ('{"text":"\\ud800"}', "invalid_json"),
        ('{"text":1.5}', "invalid_payload"),
        ('{"text":1}', "invalid_payload"),
    ],
    ids=range(9),
)
def test_jobs_that_are_alike_are_refused_like_others(api: Api, payload: str, code: str) -> None:
    job = '{"type":"wordcount","payload":{"text":"a"}}'
    wrong = f'{{"type":"wordcount","payload":{payload}}}'
    other = '{"type":"wordcount","payload":{"text":"a"},"priority":1}'
    before = api.get("/stats").json()["seq"]
    problems = []
    for jobs in ([job, wrong, job], [job, wrong, other]):
        content = f'{{"jobs":[{",".join(jobs)}]}}'.encode()
        response = api.http.post(
            "/jobs/batch", content=content, headers={"Content-Type": "application/json"}
        )
        problem = refused(response, 422, code)
        problems.append([problem["detail"], problem["errors"]])
    assert problems[0] == problems[1]
    assert api.get("/stats").json()["seq"] == before


def test_what_is_beside_jobs_that_are_alike_is_judged(api: Api) -> None:
    jobs = '[{"type":"wordcount","payload":{"text":"a"}},{"type":"wordcount","payload":{}}]'
    for more, code in (("1e999", "non_finite_number"), ("1", "unknown_field")):
        response = api.http.post(
            "/jobs/batch",
            content=f'{{"jobs":{jobs},"more":{more}}}'.encode(),
            headers={"Content-Type": "application/json"},
        )
        refused(response, 422, code)


def test_a_batch_is_all_or_nothing(api: Api) -> None:
    before = api.get("/stats").json()["jobs"]
    jobs = [
        {"type": "sum_range", "payload": {"n": 1}},
        {"type": "sum_range", "payload": {"n": "x"}},
    ]
    problem = refused(api.post("/jobs/batch", {"jobs": jobs}), 422, "invalid_payload")
    assert problem["errors"][0]["loc"][:2] == ["jobs", 1]
    assert api.get("/stats").json()["jobs"] == before


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "wrong_type"),
        ({"jobs": {}}, "wrong_type"),
        ({"jobs": []}, "out_of_range"),
        ({"jobs": [{"type": "sum_range"}] * 10_001}, "out_of_range"),
        ({"jobs": [3]}, "wrong_type"),
        ({"jobs": [], "more": 1}, "unknown_field"),
        ({"jobs": [{"type": "sum_range", "payload": {"n": 1}, "ref": "a"}]}, "not_supported"),
    ],
)
def test_a_malformed_batch_is_refused(api: Api, body: object, code: str) -> None:
    refused(api.post("/jobs/batch", body), 422, code)


def test_a_failed_job_is_a_whole_job(api: Api) -> None:
    job_id = api.submit(max_retries=0)["id"]
    api.finish(job_id, Outcome.FAILED)
    job = shaped(api.get(f"/jobs/{job_id}"), Job)
    assert job["state"] == "failed"
    assert job["error"]["kind"] == "failed"
    assert job["attempts"][0]["outcome"] == "failed"

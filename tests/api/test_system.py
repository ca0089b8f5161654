"""Types, queues, workers, figures, health, metrics and the description of the API."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from orpheus.api.schemas import Health, Items, JobType, Queue, Stats, Worker
from orpheus.domain.attempt import Outcome
from orpheus.domain.job import JobState
from orpheus.store import workers
from tests.api.running import Api, refused, shaped
from tests.support.waiting import eventually


def test_types_describe_their_payloads(api: Api) -> None:
    items = shaped(api.get("/types"), Items[JobType])["items"]
    types = {item["type"]: item for item in items}
    assert {"sum_range", "wordcount", "sleep"} <= types.keys()
    assert types["sum_range"]["schema"]["properties"]["n"]["type"] == "integer"
    assert types["sum_range"]["timeout"] == 3600
    assert types["asleep"]["lane"] == "async"


def test_a_queue_is_paused_and_resumed(api: Api) -> None:
    paused = shaped(api.post("/queues/fresh/pause"), Queue)
    assert (paused["queue"], paused["paused"]) == ("fresh", True)
    api.submit(queue="fresh")
    api.submit(queue="fresh", delay=60)
    row = next(
        row for row in shaped(api.get("/queues"), Items[Queue])["items"] if row["queue"] == "fresh"
    )
    assert (row["paused"], row["pending"], row["scheduled"]) == (True, 1, 1)
    assert 0 <= row["oldest_pending_seconds"] < 60
    assert shaped(api.post("/queues/fresh/resume"), Queue)["paused"] is False
    refused(api.post("/queues/not%20a%20name/pause"), 422, "invalid_name")


def test_the_oldest_waiting_job_counts_whatever_its_priority(api: Api) -> None:
    young = api.submit(queue="aging", priority=50)["id"]
    old = api.submit(queue="aging", priority=-50)["id"]
    with api.store.write() as tx:
        for job_id, seconds in ((young, 10), (old, 1000)):
            tx.connection.execute(
                "UPDATE jobs SET run_at = ? WHERE id = ?", (tx.now - seconds * 10**6, job_id)
            )
    row = next(row for row in api.get("/queues").json()["items"] if row["queue"] == "aging")
    assert 1000 <= row["oldest_pending_seconds"] < 1060
    assert api.get("/stats").json()["oldest_pending_seconds"] >= 1000


def test_workers_show_what_each_runs(api: Api) -> None:
    worker = api.worker()
    claim = api.claim(api.submit()["id"], worker)
    rows = shaped(api.get("/workers"), Items[Worker])["items"]
    row = next(row for row in rows if row["worker"] == worker.identity.name)
    assert (row["state"], row["running"]) == ("idle", [])  # claimed, not yet started
    with api.store.write() as tx:
        tx.connection.execute("UPDATE attempts SET started_at = ?", (tx.now,))
    rows = shaped(api.get("/workers"), Items[Worker])["items"]
    row = next(row for row in rows if row["worker"] == worker.identity.name)
    assert row["state"] == "running"
    assert [(run["job"], run["attempt"]) for run in row["running"]] == [(claim.job_id, 1)]
    with api.store.write() as tx:
        workers.end(tx, worker.id, crashed=True, exit_="SIGKILL")
    assert worker.identity.name not in api.get("/workers").text
    ended = shaped(api.get("/workers?all=1"), Items[Worker])["items"]
    row = next(row for row in ended if row["worker"] == worker.identity.name)
    assert (row["state"], row["exit"]) == ("crashed", "SIGKILL")
    refused(api.get("/workers?all=maybe"), 422, "invalid_parameter")


def test_stats_agree_with_a_recount(api: Api) -> None:
    api.finish(api.submit()["id"], Outcome.FAILED_PERMANENT)
    stats = shaped(api.get("/stats"), Stats)
    for state in JobState:
        count = api.store.value("SELECT count(*) FROM jobs WHERE state = ?", (state,))
        assert stats["jobs"][state] == count
    assert stats["last_minute"]["submitted"] >= 1
    assert stats["last_minute"]["failed"] >= 1
    assert stats["seq"] == api.store.value("SELECT max(seq) FROM events")
    assert stats["database"]["bytes"] > 0


# --- health ---------------------------------------------------------------------------------------


@contextmanager
def locked(api: Api) -> Iterator[None]:
    """A stranger, such as the sqlite3 shell, in a write transaction."""
    with closing(sqlite3.connect(api.store.settings.database_path, timeout=5)) as stranger:
        stranger.isolation_level = None
        stranger.execute("BEGIN IMMEDIATE")
        yield
        stranger.execute("ROLLBACK")


def test_health(api: Api) -> None:
    assert api.get("/livez").json() == {"status": "ok"}
    for path in ("/healthz", "/readyz"):
        response = api.get(path)
        assert response.status_code == 200
        assert shaped(response, Health)["status"] == "ok"


def test_a_locked_database_is_busy_not_broken(api: Api) -> None:
    job_id = api.submit()["id"]
    with locked(api):
        response = api.post("/jobs", {"type": "sum_range", "payload": {"n": 1}})
        refused(response, 503, "store_busy")
        assert int(response.headers["retry-after"]) >= 1
        assert api.get(f"/jobs/{job_id}").status_code == 200
        assert api.get("/livez").status_code == 200
        eventually(lambda: api.get("/healthz").status_code == 503)
        checks = shaped(api.get("/healthz"), Health)["checks"]
        assert checks["database"]["ok"] is False
    eventually(lambda: api.get("/healthz").status_code == 200)
    assert "orpheus_db_busy_total 0.0" not in api.get("/metrics").text


# --- metrics --------------------------------------------------------------------------------------

NAMES = [
    "orpheus_build_info", "orpheus_jobs", "orpheus_jobs_enqueued", "orpheus_jobs_finished",
    "orpheus_job_attempts", "orpheus_job_wait_seconds", "orpheus_job_run_seconds",
    "orpheus_queue_oldest_ready_age_seconds", "orpheus_queue_paused", "orpheus_workers",
    "orpheus_worker_slots", "orpheus_db_bytes", "orpheus_db_write_seconds", "orpheus_db_busy",
    "orpheus_events_seq", "orpheus_ws_clients", "orpheus_ws_frames",
    "orpheus_ws_frames_coalesced", "orpheus_ws_lag_seconds", "orpheus_http_request_seconds",
    "orpheus_leases_reclaimed", "orpheus_fenced_writes", "orpheus_gate_wait_seconds",
    "orpheus_metrics_stale", "orpheus_output_dropped",
]  # fmt: skip


def scrape(api: Api) -> dict[str, dict[tuple[str, frozenset[tuple[str, str]]], float]]:
    """Samples by family."""
    response = api.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    return {
        family.name: {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for sample in family.samples
        }
        for family in text_string_to_metric_families(response.text)
    }


def test_metrics_have_their_names(api: Api) -> None:
    assert set(NAMES) <= scrape(api).keys()


def test_jobs_always_show_all_states(api: Api) -> None:
    api.submit(queue="measured")
    jobs = scrape(api)["orpheus_jobs"]
    for queue in ("default", "measured"):
        for state in JobState:
            labels = frozenset({("queue", queue), ("state", state)})
            assert ("orpheus_jobs", labels) in jobs


def test_histograms_are_cumulative(api: Api) -> None:
    for _ in range(3):
        api.finish(api.submit(queue="timed")["id"])
    waits = scrape(api)["orpheus_job_wait_seconds"]
    mine = {
        (name, dict(labels).get("le")): value
        for (name, labels), value in waits.items()
        if ("queue", "timed") in labels
    }
    buckets = [value for (_, le), value in mine.items() if le is not None]
    assert buckets == sorted(buckets)
    assert mine["orpheus_job_wait_seconds_bucket", "+Inf"] == 3
    assert mine["orpheus_job_wait_seconds_count", None] == 3


def test_random_requests_make_no_series(api: Api) -> None:
    api.get("/random/0")
    api.post("/jobs", {"type": "random0"})
    before = sum(map(len, scrape(api).values()))
    for n in range(50):
        api.get(f"/random/{n}")
        api.post("/jobs", {"type": f"random{n}"})
        api.http.request(f"METHOD{n}", "/jobs")
    # One for the unknown method and its 405; each has buckets, a count and a sum.
    assert sum(map(len, scrape(api).values())) - before <= 20


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_has_no_complaint(api: Api) -> None:
    text = api.get("/metrics").text
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=text, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


# --- the description ------------------------------------------------------------------------------


def test_the_document_names_every_route(api: Api) -> None:
    document = api.get("/openapi.json").json()
    paths = {
        f"{method.upper()} {path}"
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert paths == {
        "POST /jobs", "GET /jobs", "POST /jobs/batch", "GET /jobs/{id}", "DELETE /jobs/{id}",
        "GET /jobs/{id}/logs", "POST /jobs/{id}/cancel", "POST /jobs/{id}/retry", "GET /types",
        "GET /queues", "POST /queues/{name}/pause", "POST /queues/{name}/resume", "GET /workers",
        "GET /stats", "GET /livez", "GET /healthz", "GET /metrics",
    }  # fmt: skip
    for operations in document["paths"].values():
        for operation in operations.values():
            assert operation["summary"]
            assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_every_reference_of_the_document_resolves(api: Api) -> None:
    document = api.get("/openapi.json").json()
    text = api.get("/openapi.json").text
    for part in text.split('"$ref":"#/components/schemas/')[1:]:
        assert part.split('"')[0] in document["components"]["schemas"]


def test_the_docs_page_loads_nothing_from_elsewhere(api: Api) -> None:
    response = api.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert 'href="/openapi.json"' in response.text
    assert "src=" not in response.text
    assert "http" not in response.text.replace("<!doctype html>", "").replace("/openapi.json", "")


def test_only_sqlite_opens_the_database(api: Api) -> None:
    """Closing any other descriptor of these files would drop SQLite's locks."""
    assert api.system.api is not None
    api.get("/stats")
    names = {"orpheus.db", "orpheus.db-wal", "orpheus.db-shm"}
    folder = f"/proc/{api.system.api.pid}/fd"
    found = [os.readlink(f"{folder}/{name}") for name in os.listdir(folder)]
    opened = [path for path in found if os.path.basename(path) in names]
    # Three read-only connections: each has the database and the WAL, and they share one shm.
    assert len(opened) <= 7

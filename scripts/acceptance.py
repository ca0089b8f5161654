"""Checks a running Orpheus from outside, over HTTP and WebSocket only.

    ./scripts/acceptance [URL]

Each check is one promise a user relies on, in the order a newcomer meets them. It submits some
small jobs and leaves them there. Ends with 1 if a check fails.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
from websockets.sync.client import connect

from orpheus.client.http import server_url
from orpheus.errors import ConfigurationError
from orpheus.settings import load_settings

_PATIENCE = 30.0
CHECKS: list[tuple[str, Callable[[Target], None]]] = []


class Skipped(Exception):
    """The server has not what this check needs."""


@dataclass
class Target:
    """The server under test."""

    url: str
    token: str | None
    http: httpx.Client

    def submit(self, job_type: str, **body: Any) -> dict[str, Any]:
        """Submit a job; it must be acknowledged with 201 and its place."""
        answer = self.http.post("/jobs", json={"type": job_type, **body})
        if answer.status_code == 422 and answer.json().get("code") == "unknown_type":
            raise Skipped(f"{job_type} is not loaded (orpheus.handlers.samples)")
        same(answer.status_code, 201, answer.text)
        job: dict[str, Any] = answer.json()
        same(answer.headers["location"], f"/jobs/{job['id']}")
        return job

    def final(self, job_id: int) -> dict[str, Any]:
        """The job once it is final."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.http.get(f"/jobs/{job_id}", params={"wait": 5}).json()
            if job["state"] in ("done", "failed", "cancelled"):
                return job
        raise AssertionError(f"job {job_id} is {job['state']} after {_PATIENCE:g} s")


def check(name: str) -> Callable[[Callable[[Target], None]], Callable[[Target], None]]:
    """Register a check under the promise it tests."""

    def register(function: Callable[[Target], None]) -> Callable[[Target], None]:
        CHECKS.append((name, function))
        return function

    return register


def same(found: object, expected: object, context: str = "") -> None:
    """An assertion that python -O does not remove, and that shows both sides."""
    if found != expected:
        raise AssertionError(f"{found!r}, not {expected!r} {context}".strip())


@check("it is healthy and says so")
def _health(target: Target) -> None:
    answer = target.http.get("/healthz")
    same(answer.status_code, 200)
    same(answer.json()["status"], "ok")
    same(target.http.get("/livez").status_code, 200)


@check("workers are there")
def _workers(target: Target) -> None:
    rows = target.http.get("/workers").json()["items"]
    states = {row["state"] for row in rows}
    if not states & {"idle", "running"}:
        raise AssertionError(f"no worker is idle or running: {rows}")


@check("sum_range(100000) is 5000050000")
def _sum_range(target: Target) -> None:
    job = target.final(target.submit("sum_range", payload={"n": 100_000})["id"])
    same((job["state"], job["result"]), ("done", {"sum": 5_000_050_000}))
    same([attempt["outcome"] for attempt in job["attempts"]], ["done"])


@check("wordcount of five words is 5")
def _wordcount(target: Target) -> None:
    text = "the quick brown fox jumps"
    job = target.final(target.submit("wordcount", payload={"text": text})["id"])
    same((job["state"], job["result"]), ("done", {"count": 5}))


@check("a job goes pending, in_progress, done, and every step is seen live, in order")
def _feed(target: Target) -> None:
    headers = {"Authorization": f"Bearer {target.token}"} if target.token else {}
    with connect(
        target.url.replace("http", "ws", 1) + "/ws", additional_headers=headers, proxy=None
    ) as socket:
        same(json.loads(socket.recv(timeout=_PATIENCE))["type"], "hello")
        job_id = target.submit("sum_range", payload={"n": 10})["id"]
        seen: list[str] = []
        last_seq = None
        deadline = time.monotonic() + _PATIENCE
        while not seen or seen[-1] != "job.done":
            frame = json.loads(socket.recv(timeout=max(0.1, deadline - time.monotonic())))
            for event in frame.get("events", []):
                if last_seq is not None:
                    same(event["seq"], last_seq + 1, "(a gap in the feed)")
                last_seq = event["seq"]
                if event.get("job", {}).get("id") == job_id:
                    seen.append(event["event"])
    same(seen, ["job.pending", "job.in_progress", "job.done"])


@check("a permanent failure fails at once, and says why")
def _failure(target: Target) -> None:
    payload = {"message": "no such luck", "permanent": True}
    job = target.final(target.submit("fail", payload=payload)["id"])
    same((job["state"], len(job["attempts"])), ("failed", 1))
    same((job["error"]["type"], job["error"]["message"]), ("PermanentError", "no such luck"))


@check("a flaky job is retried until it succeeds")
def _retry(target: Target) -> None:
    job = target.final(target.submit("flaky", payload={"failures": 1})["id"])
    same((job["state"], job["result"]), ("done", {"attempt": 2}))
    same([attempt["outcome"] for attempt in job["attempts"]], ["failed", "done"])


@check("a crash of the worker's process is survived")
def _crash(target: Target) -> None:
    crashing = target.submit("crash", payload={"how": "kill"})["id"]
    other = target.final(target.submit("wordcount", payload={"text": "still here"})["id"])
    same(other["result"], {"count": 2})
    job = target.final(crashing)
    same(job["state"], "failed")
    same([attempt["outcome"] for attempt in job["attempts"]], ["crashed"] * 3)


@check("a waiting job can be cancelled, and run again by hand")
def _cancel(target: Target) -> None:
    job_id = target.submit("wordcount", payload={"text": "later"}, delay=3600)["id"]
    same(target.http.post(f"/jobs/{job_id}/cancel").json()["state"], "cancelled")
    same(target.http.post(f"/jobs/{job_id}/retry").status_code, 200)
    same(target.final(job_id)["result"], {"count": 1})
    same(target.http.post(f"/jobs/{job_id}/cancel").status_code, 409)


@check("the same Idempotency-Key is the same job")
def _idempotency(target: Target) -> None:
    headers = {"Idempotency-Key": f"acceptance-{time.monotonic_ns()}"}
    body = {"type": "wordcount", "payload": {"text": "once"}}
    first = target.http.post("/jobs", json=body, headers=headers)
    again = target.http.post("/jobs", json=body, headers=headers)
    same((first.status_code, again.status_code), (201, 200))
    same(again.json()["id"], first.json()["id"])
    same(again.headers["idempotent-replayed"], "true")


@check("a wrong request is refused with what to do, and never with a 5xx")
def _refusals(target: Target) -> None:
    json_type = {"Content-Type": "application/json"}
    for content, code in (
        (b'{"type": "sum_range", "payload": {"n": "5"}}', "invalid_payload"),
        (b'{"type": "sum_range", "payload": {"n": -1}}', "invalid_payload"),
        (b'{"type": "no_such_type"}', "unknown_type"),
        (b'{"type": "wordcount", "nonsense": 1}', "unknown_field"),
        (b'{"type": ', "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
    ):
        answer = target.http.post("/jobs", content=content, headers=json_type)
        same(answer.status_code // 100, 4, f"for {content!r}")
        same(answer.headers["content-type"], "application/problem+json")
        same(answer.json()["code"], code, f"for {content!r}")
    same(target.http.get("/jobs/999999999999").status_code, 404)
    same(target.http.get("/jobs/x").status_code, 422)
    same(target.http.post("/jobs", content="type=x").status_code, 415)


@check("200 jobs of 20 clients at once are all done once, and right")
def _many(target: Target) -> None:
    def one(n: int) -> None:
        job = target.final(target.submit("sum_range", payload={"n": n})["id"])
        same((job["result"], len(job["attempts"])), ({"sum": n * (n + 1) // 2}, 1))

    with ThreadPoolExecutor(20) as clients:
        list(clients.map(one, range(200)))


@check("figures for Prometheus agree with /stats")
def _metrics(target: Target) -> None:
    text = target.http.get("/metrics").text
    states = ("pending", "scheduled", "blocked", "in_progress", "done", "failed", "cancelled")
    for state in states:
        if f'state="{state}"' not in text:
            raise AssertionError(f"orpheus_jobs has no {state}")
    same(set(target.http.get("/stats").json()["jobs"]), set(states))


@check("the dashboard is there, and asks nobody else for anything")
def _dashboard(target: Target) -> None:
    answer = target.http.get("/", headers={"Accept": "text/html"})
    same(answer.status_code, 200)
    same(answer.headers["content-type"].partition(";")[0], "text/html")
    if "default-src" not in answer.headers.get("content-security-policy", ""):
        raise AssertionError("no Content-Security-Policy")
    for quote in ('"', "'"):
        if any(f"{name}={quote}http" in answer.text for name in ("src", "href")):
            raise AssertionError("the page names another origin")


@check("the API describes itself")
def _openapi(target: Target) -> None:
    paths = target.http.get("/openapi.json").json()["paths"]
    for path in ("/jobs", "/jobs/{id}", "/healthz", "/types", "/queues", "/workers", "/stats"):
        if not any(found.replace("job_id", "id") == path for found in paths):
            raise AssertionError(f"{path} is not in /openapi.json")


def main(arguments: list[str]) -> int:
    """Run all checks; 0 if none failed."""
    if len(arguments) > 1 or any(argument.startswith("-") for argument in arguments):
        print("usage: ./scripts/acceptance [URL]", file=sys.stderr)
        return 2
    try:
        settings = load_settings()
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    address = server_url(settings.url, settings.host, settings.port)
    url = (arguments[0] if arguments else address).rstrip("/")
    token = settings.token.get_secret_value() if settings.token else None
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    counts = {"ok": 0, "FAILED": 0, "skipped": 0}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as http:
        target = Target(url, token, http)
        for name, function in CHECKS:
            verdict, reason = _verdict(function, target)
            counts[verdict] += 1
            print(f"{verdict:<8}{name}{reason}", flush=True)
            if verdict == "FAILED" and counts["ok"] == 0:
                break  # nobody there: one line says it
    print(f"{counts['ok']} passed, {counts['FAILED']} failed, {counts['skipped']} skipped")
    return 1 if counts["FAILED"] else 0


def _verdict(function: Callable[[Target], None], target: Target) -> tuple[str, str]:
    try:
        function(target)
    except Skipped as reason:
        return "skipped", f": {reason}"
    except AssertionError as error:
        return "FAILED", f": {error}"
    except Exception as error:  # a check that trips over the answer has failed, too
        return "FAILED", f": {type(error).__name__}: {error}"
    return "ok", ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

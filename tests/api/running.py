"""A real `orpheus api` with a store beside it: requests go over HTTP, states are made by hand."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel

from orpheus.api.schemas import Job, Problem
from orpheus.clock import SystemClock
from orpheus.domain.attempt import Claim, Outcome
from orpheus.settings import load_settings
from orpheus.store.database import Database
from tests.support.stores import Store, TinyWorker
from tests.support.system import System

M = TypeVar("M", bound=BaseModel)


@dataclass
class Api:
    """The program, a client for it, and the database it writes."""

    system: System
    http: httpx.Client
    store: Store

    @property
    def url(self) -> str:
        return self.system.url

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, body: object = None, **options: Any) -> httpx.Response:
        return self.http.post(path, json=body, **options)

    def submit(self, type_: str = "sum_range", **fields: Any) -> dict[str, Any]:
        """A new job's document; sums up to 10 unless said otherwise."""
        if type_ == "sum_range":
            fields.setdefault("payload", {"n": 10})
        response = self.post("/jobs", {"type": type_, **fields})
        assert response.status_code == 201, response.text
        return shaped(response, Job)

    def exchange(self, request: bytes, timeout: float = 20) -> bytes:
        """All that comes back for raw bytes, until the server closes."""
        address = ("127.0.0.1", self.system.port)
        with socket.create_connection(address, timeout=timeout) as connection:
            connection.sendall(request)
            answer = b""
            while piece := connection.recv(65_536):
                answer += piece
            return answer

    def worker(self) -> TinyWorker:
        return self.store.worker()

    def claim(self, job_id: int, worker: TinyWorker | None = None) -> Claim:
        """Lease exactly this job, whatever else waits."""
        with self.store.write() as tx:
            tx.connection.execute(
                "UPDATE jobs SET priority = 100, run_at = 0 WHERE id = ?", (job_id,)
            )
        claim = (worker or self.worker()).claim_one()
        assert claim.job_id == job_id
        return claim

    def finish(self, job_id: int, outcome: Outcome = Outcome.DONE, **values: Any) -> None:
        """Run a job to an outcome without running anything."""
        worker = self.worker()
        worker.finish(self.claim(job_id, worker).attempt_id, outcome, **values)


def shaped(response: httpx.Response, model: type[M]) -> dict[str, Any]:
    """The JSON of a response, which must have exactly the shape of `model` and end in a newline."""
    assert response.text.endswith("\n")
    assert response.headers["content-type"] == "application/json"
    model.model_validate_json(response.text)
    document: dict[str, Any] = response.json()
    if missing := _missing(document, model):
        raise AssertionError(f"{missing} missing in {document}")
    return document


def _missing(document: dict[str, Any], model: type[BaseModel]) -> set[str]:
    """Fields that are required of an answer even where the model has a default."""
    names = {field.alias or name for name, field in model.model_fields.items()}
    return names - document.keys()


def refused(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem document of a response, which must say this."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = Problem.model_validate_json(response.text)
    assert (response.status_code, problem.code) == (status, code), response.text
    assert problem.status == status
    assert problem.detail
    assert problem.request_id == response.headers["x-request-id"]
    assert response.text.endswith("\n")
    document: dict[str, Any] = json.loads(response.text)
    return document


@contextmanager
def running_api(folder: Path, environment: Mapping[str, str] | None = None) -> Iterator[Api]:
    """An API of its own, healthy."""
    system = System(folder, environment)
    try:
        system.start_api()
        clock = SystemClock()
        settings = load_settings({"data_dir": str(system.data_dir)}, cwd=folder, environ={})
        database = Database(settings, clock)
        try:
            with httpx.Client(base_url=system.url, timeout=30) as http:
                yield Api(system, http, Store(settings, clock, database))
        finally:
            database.close()
    finally:
        system.stop()
        print(system.log()[-10_000:])

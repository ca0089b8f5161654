"""Requests made up from `/openapi.json`, and bytes made up from nothing, against a running API.

Schemathesis makes requests that fit the document and ones that break it in one place; they are
grounded now and then in job types and ids that exist, so that they reach further. Every answer must
be as documented, and none a server error. 10,000 of them, another each time:

    .venv/bin/pytest -m long tests/api/test_fuzz.py -s

`--hypothesis-seed=N` repeats a run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from orpheus.api.problems import CODES, MEDIA_TYPE
from tests.api.running import Api, running_api

pytestmark = pytest.mark.processes

# Not whether what breaks the schema is refused: on the wire an empty list, say, is nothing at all.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
TYPES = ["sum_range", "wordcount", "sleep", "nobody"]
PAYLOADS: list[dict[str, Any]] = [{"n": 3}, {"text": "a b"}, {"seconds": 0}, {}, {"n": "3"}]
JOBS = [
    ("sum_range", {"n": 3}), ("wordcount", {"text": "a b"}), ("sleep", {"seconds": 0}),
    ("sum_range", {"n": "3"}), ("wordcount", {}), ("nobody", {}),
]  # fmt: skip
# How many cases each operation gets, times the length of the run; those without parameters few.
WEIGHTS = {"POST /jobs": 10, "POST /jobs/batch": 6, "GET /jobs": 8}


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with running_api(tmp_path_factory.mktemp("fuzzed")) as api:
        for _ in range(20):
            api.submit()
        for job_id in (1, 2, 3):
            api.finish(job_id)
        api.claim(4)
        yield api


@st.composite
def grounded(draw: st.DrawFn, cases: st.SearchStrategy[Any]) -> Any:
    """A case, sometimes with names and ids that mean something."""
    case = draw(cases)
    if draw(st.booleans()) and "id" in (case.path_parameters or {}):
        case.path_parameters["id"] = draw(st.integers(0, 25))
    if isinstance(case.body, dict):
        jobs = case.body["jobs"] if isinstance(case.body.get("jobs"), list) else [case.body]
        for job in jobs:
            if isinstance(job, dict) and "type" in job and draw(st.integers(0, 3)):
                job["type"], job["payload"] = draw(st.sampled_from(JOBS))
    # Nobody works here: a wait would be the whole of what it says.
    if isinstance(wait := (case.query or {}).get("wait"), (int, float)) and 0 <= wait <= 60:
        case.query["wait"] = 0
    return case


def fuzz(api: Api, length: int, **options: Any) -> Counter[int]:
    """Run about `length` cases for each weight; the statuses that were answered."""
    statuses: Counter[int] = Counter()
    session = requests.Session()
    schema = schemathesis.openapi.from_url(f"{api.url}/openapi.json")
    for found in schema.get_all_operations():
        operation: Any = found.ok()  # type: ignore[union-attr]
        modes = [operation.as_strategy(generation_mode=GenerationMode.POSITIVE)]
        if operation.query or operation.body or operation.headers or operation.path_parameters:
            modes.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
        for cases in modes:

            @hypothesis.settings(
                max_examples=length * WEIGHTS.get(operation.label, 2) // len(modes) or 1,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
                **options,
            )
            @hypothesis.given(case=grounded(cases))
            def one(case: Any) -> None:
                response = case.call(session=session, timeout=20)
                statuses[response.status_code] += 1
                case.validate_response(response, checks=CHECKS)
                (media_type,) = response.headers.get("content-type", [""])
                as_the_contract_says(response.status_code, media_type, response.content)

            one()
    return statuses


def as_the_contract_says(status: int, media_type: str, content: bytes) -> None:
    """What the document cannot say: problems have one of the codes, with its status."""
    assert status < 500
    if status >= 400:
        assert media_type == MEDIA_TYPE
        problem = json.loads(content)
        assert CODES[problem["code"]][0] == problem["status"] == status
        assert problem["detail"]
    if content:
        assert content.endswith(b"\n")


def test_the_document_is_kept(fuzzed: Api) -> None:
    statuses = fuzz(fuzzed, 4, derandomize=True)
    assert statuses.total() > 100
    # Both kinds got through, or this fuzzes nothing.
    assert {200, 201, 404, 422} <= statuses.keys()


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_document_is_kept_ten_thousand_times(fuzzed: Api) -> None:
    statuses: Counter[int] = Counter()
    while statuses.total() < 10_000:
        statuses += fuzz(fuzzed, 100)
    print(f"{statuses.total()} cases: {dict(sorted(statuses.items()))}")


# --- without the document -------------------------------------------------------------------------

JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=12,
)
FIELDS = ["payload", "queue", "priority", "delay", "run_at", "max_retries", "timeout", "tags",
          "unique_key", "depends_on", "on_parent_failure", "meta", "ref", "jobs"]  # fmt: skip
LIKELY = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={name: JSONISH | st.sampled_from(PAYLOADS) for name in FIELDS},
)
TEXTS = (LIKELY | JSONISH).map(lambda value: json.dumps(value).encode("utf-8"))


@st.composite
def cut(draw: st.DrawFn) -> bytes:
    """JSON with a few bytes changed, or its end missing."""
    text = bytearray(draw(TEXTS))
    for _ in range(draw(st.integers(0, 3))):
        text[draw(st.integers(0, len(text) - 1))] = draw(st.integers(0, 255))
    return bytes(text[: draw(st.integers(0, len(text)))]) if draw(st.booleans()) else bytes(text)


def any_bytes(api: Api, cases: int, **options: Any) -> None:
    @hypothesis.settings(
        max_examples=cases, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), **options,
    )  # fmt: skip
    @hypothesis.given(
        path=st.sampled_from(["/jobs", "/jobs/batch"]),
        content=TEXTS | cut() | st.binary(max_size=200),
        key=st.none() | st.binary(max_size=300),
    )
    def one(path: str, content: bytes, key: bytes | None) -> None:
        headers = [(b"Content-Type", b"application/json")]
        if key is not None:
            headers.append((b"Idempotency-Key", key.translate(None, b"\r\n\0").strip() or b"x"))
        try:
            response = api.http.post(path, content=content, headers=headers)
        except httpx.LocalProtocolError:
            return
        if response.status_code == 400:
            # The key has bytes that no header may have.
            assert response.json()["code"] == "invalid_parameter"
            return
        media_type = response.headers["content-type"]
        as_the_contract_says(response.status_code, media_type, response.content)

    one()


# --- headers --------------------------------------------------------------------------------------

HEADERS = [b"Origin", b"Host", b"Cookie", b"Authorization", b"Accept", b"Accept-Encoding", b"Range",
           b"Content-Type", b"If-None-Match", b"Sec-Fetch-Site", b"Sec-Fetch-Mode", b"Expect",
           b"Access-Control-Request-Method", b"Upgrade", b"X-Forwarded-For"]  # fmt: skip
PIECES = st.sampled_from([b"http://", b"[", b"]", b"::1", b"localhost", b":", b"99999", b"@", b";",
                          b"=", b"orpheus_login", b"Bearer", b" ", b"*/*", b'"', b"bytes=", b"%",
                          b"q=x", b"\xe9", b"text/html", b"orpheus_theme"])  # fmt: skip
VALUES = st.lists(PIECES | st.binary(max_size=3), max_size=8).map(b"".join)
PATHS = ["/", "/jobs", "/login", "/static/css/base.css", "/metrics", "/ws"]


def any_headers(api: Api, cases: int, **options: Any) -> None:
    @hypothesis.settings(
        max_examples=cases, deadline=None, database=None,
        suppress_health_check=list(HealthCheck), **options,
    )  # fmt: skip
    @hypothesis.given(
        path=st.sampled_from(PATHS),
        headers=st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), min_size=1, max_size=4),
    )
    def one(path: str, headers: list[tuple[bytes, bytes]]) -> None:
        sent = [(name, value.translate(None, b"\r\n\0").strip()) for name, value in headers]
        try:
            response = api.http.get(path, headers=sent)
        except httpx.LocalProtocolError:
            return
        assert response.status_code < 500, response.text

    one()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    environment = {"ALLOWED_ORIGINS": "https://ours.test", "TOKEN": "s3cret"}
    with running_api(tmp_path_factory.mktemp("guarded"), environment) as api:
        yield api


def test_any_headers_are_answered(guarded: Api) -> None:
    any_headers(guarded, 150, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["fuzzed", "guarded"])
def test_many_more_headers_are_answered(request: pytest.FixtureRequest, name: str) -> None:
    any_headers(request.getfixturevalue(name), 3000)


def test_any_bytes_are_answered(fuzzed: Api) -> None:
    any_bytes(fuzzed, 200, derandomize=True)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_many_more_bytes_are_answered(fuzzed: Api) -> None:
    any_bytes(fuzzed, 10_000)

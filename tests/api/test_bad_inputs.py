"""What is wrong with a request is said with its code, and nothing is written: a table."""

from __future__ import annotations

import gzip
import json
import socket
import time
from typing import Any

import pytest

from orpheus.api.bodies import BATCH_LIMIT, LIMIT
from tests.api.running import Api, refused

JSON = {"Content-Type": "application/json"}


def body(**fields: Any) -> bytes:
    return json.dumps({"type": "sum_range", "payload": {"n": 1}, **fields}).encode()


def payload(text: str) -> bytes:
    return b'{"type":"sum_range","payload":{"n":%s}}' % text.encode()


def field(name: str, text: str) -> bytes:
    return b'{"type":"sum_range","payload":{"n":1},"%s":%s}' % (name.encode(), text.encode())


BODIES: list[tuple[bytes, str]] = [
    (payload("NaN"), "invalid_json"),
    (payload("Infinity"), "invalid_json"),
    (payload("-Infinity"), "invalid_json"),
    (field("priority", "NaN"), "invalid_json"),
    (payload("1e999"), "non_finite_number"),
    (field("delay", "1e999"), "non_finite_number"),
    (field("priority", "-1e999"), "non_finite_number"),
    (payload(r'"\ud800"'), "invalid_json"),
    (rb'{"type":"\ud800"}', "invalid_json"),
    (rb'{"\udfff":1}', "invalid_json"),
    (payload("1" * 5000), "invalid_json"),
    (field("priority", str(2**70)), "out_of_range"),
    (field("timeout", str(2**70)), "out_of_range"),
    (field("meta", '{"x":' + "[" * 100 + "]" * 100 + "}"), "too_deep"),
    (field("meta", '{"x":' + "[" * 100_000 + "]" * 100_000 + "}"), "too_deep"),
    (b"[" * 100_000, "too_deep"),
    ('{"type":"sum_range"}'.encode("utf-16"), "invalid_json"),
    (b"\xef\xbb\xbf" + body(), "invalid_json"),
    (b'{"type":"\xff"}', "invalid_json"),
    (b"null", "body_required"),
    (b" \n", "body_required"),
    (b"[]", "invalid_json"),
    (b'"x"', "invalid_json"),
    (b"5", "invalid_json"),
    (body() + b"x", "invalid_json"),
    (body() + body(), "invalid_json"),
    (b"{'type':'sum_range'}", "invalid_json"),
    (b"{", "invalid_json"),
    (gzip.compress(body()), "invalid_json"),
    (b"\x00" * 100, "invalid_json"),
    (rb'{"type":"sum\u0000range"}', "invalid_name"),
    (field("queue", r'"a\u0000b"'), "invalid_name"),
    (field("unique_key", r'"a\u0000b"'), "invalid_name"),
    (field("queue", '""'), "invalid_name"),
    (field("queue", '"a b"'), "invalid_name"),
    (field("queue", '"' + "x" * 101 + '"'), "invalid_name"),
    (field("tags", '["ok", "not ok"]'), "invalid_name"),
    (b"{}", "wrong_type"),
    (b'{"type":5}', "wrong_type"),
    (b'{"type":"nobody"}', "unknown_type"),
    (b'{"type":"__import__"}', "unknown_type"),
    (field("colour", "1"), "unknown_field"),
    (field("priorty", "1"), "unknown_field"),
    (field("depends_on", "[1]"), "not_supported"),
    (field("on_parent_failure", '"run"'), "not_supported"),
    (field("ref", '"a"'), "not_supported"),
    (field("priority", '"5"'), "wrong_type"),
    (field("priority", "true"), "wrong_type"),
    (field("priority", "1.0"), "wrong_type"),
    (field("payload", "[]"), "wrong_type"),
    (field("meta", "[]"), "wrong_type"),
    (field("tags", '"a"'), "wrong_type"),
    (field("delay", '"NaN"'), "wrong_type"),
    (payload('"5"'), "invalid_payload"),
    (payload("true"), "invalid_payload"),
    (payload("-1"), "invalid_payload"),
    (payload("10000000001"), "invalid_payload"),
    (payload(str(2**70)), "invalid_payload"),
    (b'{"type":"sum_range"}', "invalid_payload"),
    (b'{"type":"sum_range","payload":{"n":1,"m":2}}', "invalid_payload"),
    (field("priority", "101"), "out_of_range"),
    (field("max_retries", "-1"), "out_of_range"),
    (field("max_retries", "1000000"), "out_of_range"),
    (field("delay", "-1"), "out_of_range"),
    (field("delay", "1e12"), "out_of_range"),
    (field("timeout", "0"), "out_of_range"),
    (field("run_at", '"2030-01-01T00:00:00"'), "invalid_time"),
    (field("run_at", '"10000-01-01T00:00:00Z"'), "invalid_time"),
    (field("run_at", '"tomorrow"'), "invalid_time"),
    (field("run_at", '"2030-01-01T00:00:00Z","delay":1'), "invalid_time"),
    (field("run_at", "5"), "wrong_type"),
]


@pytest.mark.parametrize(("content", "code"), BODIES, ids=range(len(BODIES)))
def test_a_malformed_job_is_refused(api: Api, content: bytes, code: str) -> None:
    seq = api.get("/stats").json()["seq"]
    started = time.monotonic()
    problem = refused(api.http.post("/jobs", content=content, headers=JSON), 422, code)
    assert time.monotonic() - started < 2
    assert len(problem["detail"]) < 1000
    assert api.get("/stats").json()["seq"] == seq


@pytest.mark.parametrize(("content", "code"), BODIES[:30], ids=range(30))
def test_a_malformed_batch_is_refused(api: Api, content: bytes, code: str) -> None:
    response = api.http.post("/jobs/batch", content=b'{"jobs":[' + content + b"]}", headers=JSON)
    assert 400 <= response.status_code < 500
    assert response.headers["content-type"] == "application/problem+json"


def test_the_last_of_duplicate_keys_wins(api: Api) -> None:
    response = api.http.post("/jobs", content=field("priority", '1,"priority":2'), headers=JSON)
    assert response.json()["priority"] == 2


@pytest.mark.parametrize("query", ["wait=x", "wait=-1", "wait=61", "wait=1&wait=2", "wiat=1"])
def test_a_malformed_wait_is_refused(api: Api, query: str) -> None:
    refused(api.http.post(f"/jobs?{query}", content=body(), headers=JSON), 422, "invalid_parameter")


# --- content types --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
     "application/jsonp", "application/json-patch+json"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/jobs", "/jobs/batch", "/jobs/1/cancel", "/queues/a/pause"])
def test_a_body_must_say_that_it_is_json(api: Api, path: str, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    problem = refused(
        api.http.post(path, content=body(), headers=headers), 415, "unsupported_media_type"
    )
    assert "curl --json '{" in problem["detail"]
    assert api.url in problem["detail"]


def test_json_may_name_its_charset(api: Api) -> None:
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert api.http.post("/jobs", content=body(), headers=headers).status_code == 201


def test_nothing_at_all_is_a_missing_body(api: Api) -> None:
    refused(api.http.post("/jobs"), 422, "body_required")
    refused(api.http.post("/jobs", headers=JSON), 422, "body_required")
    refused(api.http.post("/jobs/batch"), 422, "body_required")


# --- sizes and times ------------------------------------------------------------------------------


def padded(size: int) -> bytes:
    start = body()[:-1]
    return start + b" " * (size - len(start) - 1) + b"}"


def test_a_body_may_be_exactly_as_large_as_the_limit(api: Api) -> None:
    assert api.http.post("/jobs", content=padded(LIMIT), headers=JSON).status_code == 201
    response = api.http.post("/jobs", content=padded(LIMIT + 1), headers=JSON)
    refused(response, 413, "body_too_large")
    assert response.headers["connection"] == "close"


def test_a_chunked_body_is_counted(api: Api) -> None:
    piece = b" " * 65_536
    response = api.http.post("/jobs", content=(piece for _ in range(17)), headers=JSON)
    refused(response, 413, "body_too_large")


def test_a_batch_may_be_larger(api: Api) -> None:
    content = b'{"jobs":[' + padded(BATCH_LIMIT - 11) + b"]}"
    assert len(content) == BATCH_LIMIT
    assert api.http.post("/jobs/batch", content=content, headers=JSON).status_code == 201
    response = api.http.post("/jobs/batch", content=content + b" ", headers=JSON)
    refused(response, 413, "body_too_large")


HEAD = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: x\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 99999999999999999999999999\r\n",
        b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\nnot a chunk",
    ],
)
def test_contradictory_lengths_are_no_server_error(api: Api, head: bytes) -> None:
    answer = api.exchange(HEAD + head + b"\r\n{}\r\n")
    assert answer.startswith(b"HTTP/1.1 4")


def test_a_client_that_leaves_in_its_body_hurts_nobody(api: Api) -> None:
    with socket.create_connection(("127.0.0.1", api.system.port)) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n{")
    assert api.get("/livez").status_code == 200


# --- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/nope", "/jobs/", "/static/..%2f..%2fpyproject.toml", "/static/%00", "/" + "x" * 5000,
     "/jobs/../../etc/passwd", "/jobs/1/2/3", "/ws"],
)  # fmt: skip
def test_an_unknown_address_is_not_found(api: Api, path: str) -> None:
    response = api.http.get(path)
    assert response.status_code == 404
    if not path.startswith("/static"):
        refused(response, 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/jobs", "GET, POST"),
        ("PATCH", "/jobs/1", "DELETE, GET"),
        ("GET", "/jobs/1/cancel", "POST"),
        ("POST", "/stats", "GET"),
        ("DELETE", "/livez", "GET"),
    ],
)
def test_a_wrong_method_names_the_right_ones(
    api: Api, method: str, path: str, allowed: str
) -> None:
    response = api.http.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed

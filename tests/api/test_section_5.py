"""The bad inputs 1 to 27 of the reliability reference, section 5, each with its exact answer.

The numbers are the reference's, the codes and the few answers that differ the contract's. More of
each kind is in the files beside this one.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from orpheus.api.problems import expected
from orpheus.errors import RequestError
from tests.api.running import Api, refused, running_api
from tests.api.test_bad_inputs import body, field, padded, payload
from tests.api.test_wire import CHUNKED, CLOSE, GET, HEAD, JOB, LENGTH, connected, rest, status
from tests.support.waiting import eventually

JSON = {"Content-Type": "application/json"}
DEEP = '{"x":%s}'


def nested(depth: int) -> bytes:
    return field("meta", DEEP % ("[" * depth + "]" * depth))


BODIES: dict[str, tuple[bytes, int, str]] = {
    "1 NaN": (payload("NaN"), 422, "invalid_json"),
    "1 Infinity": (payload("Infinity"), 422, "invalid_json"),
    "2 1e999 in the payload": (payload("1e999"), 422, "non_finite_number"),
    "2 1e999 in a number field": (field("timeout", "1e999"), 422, "non_finite_number"),
    "3 lone surrogate in the payload": (payload(r'"\ud800"'), 422, "invalid_json"),
    "3 lone surrogate in the type": (rb'{"type":"\ud800"}', 422, "invalid_json"),
    "4 5000 digits": (payload("9" * 5000), 422, "invalid_json"),
    "5 2^70 as priority": (field("priority", str(2**70)), 422, "out_of_range"),
    "5 2^70 as timeout": (field("timeout", str(2**70)), 422, "out_of_range"),
    "6 nesting 100": (nested(100), 422, "too_deep"),
    "6 nesting 100,000": (nested(100_000), 422, "too_deep"),
    "7 one byte too large": (padded(1_048_577), 413, "body_too_large"),
    "10 UTF-16": (body().decode().encode("utf-16"), 422, "invalid_json"),
    "10 BOM": (b"\xef\xbb\xbf" + body(), 422, "invalid_json"),
    "10 bad UTF-8": (b'{"type":"\xc3\x28"}', 422, "invalid_json"),
    "10 empty": (b"", 422, "body_required"),
    "10 null": (b"null", 422, "body_required"),
    "10 array": (b"[]", 422, "invalid_json"),
    "10 trailing text": (body() + b" x", 422, "invalid_json"),
    "12 NUL in the type": (rb'{"type":"a\u0000"}', 422, "invalid_name"),
    "12 NUL in the queue": (field("queue", r'"a\u0000"'), 422, "invalid_name"),
    "12 NUL in the key": (field("unique_key", r'"a\u0000"'), 422, "invalid_name"),
    "12 101 characters": (field("queue", '"' + "x" * 101 + '"'), 422, "invalid_name"),
    "13 unknown type": (b'{"type":"nobody"}', 422, "unknown_type"),
    "13 unknown field": (field("colour", "1"), 422, "unknown_field"),
    "13 wrong type": (field("tags", "5"), 422, "wrong_type"),
    "13 text for a number": (field("priority", '"5"'), 422, "wrong_type"),
    "13 text for a number of the payload": (payload('"5"'), 422, "invalid_payload"),
    # 0 retries are one attempt, and fine.
    "14 max_retries -1": (field("max_retries", "-1"), 422, "out_of_range"),
    "14 max_retries 10^6": (field("max_retries", "1000000"), 422, "out_of_range"),
    "14 delay -1": (field("delay", "-1"), 422, "out_of_range"),
    "14 delay 10^12": (field("delay", "1000000000000"), 422, "out_of_range"),
    "14 delay NaN": (field("delay", '"NaN"'), 422, "wrong_type"),
    "14 run_at without zone": (field("run_at", '"2030-01-01T00:00:00"'), 422, "invalid_time"),
    "14 run_at year 10000": (field("run_at", '"10000-01-01T00:00:00Z"'), 422, "invalid_time"),
    "24 markup as a type": (b'{"type":"<img src=x onerror=alert(1)>"}', 422, "invalid_name"),
}


@pytest.mark.parametrize(("content", "want", "code"), BODIES.values(), ids=BODIES)
def test_a_body(api: Api, content: bytes, want: int, code: str) -> None:
    before = api.get("/stats").json()["seq"]
    asked = time.monotonic()
    response = api.http.post("/jobs", content=content, headers=JSON)
    took = time.monotonic() - asked
    problem = refused(response, want, code)
    # Input 6 asks for 50 ms; a loaded machine gets ten times that.
    assert took < 0.5
    # Nothing written, nothing echoed at length, nothing harmed.
    assert api.get("/stats").json()["seq"] == before
    assert len(problem["detail"]) < 600
    assert "<img" not in response.text
    assert api.get("/livez").status_code == 200


KEPT: dict[str, Any] = {
    "5 2^70": 2**70,
    "6 nesting 62": json.loads("[" * 62 + "]" * 62),
    "12 NUL": "a\u0000b",
    "24 script": "</script><script>alert(1)</script>",
}


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_a_value_that_is_kept(api: Api, value: object) -> None:
    job = api.submit(meta={"x": value})
    assert job["meta"] == {"x": value}
    assert f'"x":{json.dumps(value, separators=(",", ":"))}' in api.get(f"/jobs/{job['id']}").text


def test_7_bodies_that_lie(api: Api) -> None:
    """More of them, and input 8, in test_wire.py."""
    piece = b" " * 65_536
    response = api.http.post("/jobs", content=(piece for _ in range(17)), headers=JSON)
    refused(response, 413, "body_too_large")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("type_", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_9_a_body_that_is_not_said_to_be_json(api: Api, type_: str | None) -> None:
    headers = {"Content-Type": type_} if type_ else {}
    response = api.http.post("/jobs", content=body(), headers=headers)
    refused(response, 415, "unsupported_media_type")


def test_11_of_duplicate_keys_the_last_wins(api: Api) -> None:
    response = api.http.post("/jobs", content=field("priority", '1,"priority":7'), headers=JSON)
    assert (response.status_code, response.json()["priority"]) == (201, 7)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=-1", "limit=201", "limit=1e3", "limit=abc", "cursor=forged",
     "cursor=ZGVzYzox", "sort=id;drop table jobs", "order=id;drop"],
)  # fmt: skip
def test_15_paging(api: Api, query: str) -> None:
    api.submit()
    if query == "cursor=ZGVzYzox":
        # base64 of "desc:1" is a cursor we could have given: it needs no secret to be harmless.
        assert api.get(f"/jobs?{query}").status_code == 200
    else:
        refused(api.get(f"/jobs?{query}"), 422, "invalid_parameter")
    assert api.get("/jobs").json()["items"]


@pytest.mark.parametrize(
    ("path", "want", "code"),
    [
        ("/jobs/' OR 1=1--", 422, "invalid_parameter"),
        ("/jobs/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404, "not_found"),
        ("/jobs/" + "a" * 300, 422, "invalid_parameter"),
        ("/jobs/" + "9" * 300, 422, "out_of_range"),
        ("/jobs/999999999", 404, "not_found"),
        (f"/jobs/{2**70}", 422, "out_of_range"),
    ],
    ids=["16 OR 1=1", "16 traversal", "16 300 letters", "16 300 digits", "16 unknown", "5 2^70"],
)
def test_16_ids(api: Api, path: str, want: int, code: str) -> None:
    for method, tail in (("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry")):
        refused(api.http.request(method, path + tail), want, code)


@pytest.mark.parametrize("host", ["evil.example", "", "localhost."])
def test_17_hosts(api: Api, host: str) -> None:
    """The handshake's in tests/feed/test_attacks.py, where an empty one can be sent."""
    refused(api.get("/jobs", headers={"Host": host}), 400, "invalid_host")
    if host:
        assert handshake_status(api, {"Host": host}) == 400


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}]
)
def test_18_origins(api: Api, headers: dict[str, str]) -> None:
    response = api.http.post("/jobs", content=body(), headers=headers | JSON)
    refused(response, 403, "cross_origin")
    asked = api.http.options("/jobs", headers=headers)
    assert asked.status_code == 403
    assert not [name for name in asked.headers if name.startswith("access-control")]


def test_19_a_socket_of_another_origin(api: Api) -> None:
    """Input 20 is in tests/feed/test_attacks.py and test_socket.py."""
    assert handshake_status(api, {"Origin": "https://evil.example"}) == 403


def handshake_status(api: Api, headers: dict[str, str]) -> int:
    url = api.url.replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus) as refusal, connect(url, additional_headers=headers):
        pass
    return refusal.value.response.status_code


def test_21_idempotency_keys(api: Api) -> None:
    def post(n: int, key: str) -> Any:
        job = {"type": "sum_range", "payload": {"n": n}}
        return api.post("/jobs", job, headers={"Idempotency-Key": key})

    first = post(1, "section-5")
    again = post(1, "section-5")
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    refused(post(2, "section-5"), 422, "idempotency_conflict")
    refused(post(1, "x" * 300), 422, "invalid_parameter")


def test_22_a_full_queue(tmp_path: Path) -> None:
    """A locked database is in test_system.py."""
    with running_api(tmp_path, {"MAX_PENDING": "2"}) as api:
        first, job_id = api.submit()["id"], api.submit()["id"]
        for path, content in (("/jobs", body()), ("/jobs/batch", b'{"jobs":[%s]}' % body())):
            response = api.http.post(path, content=content, headers=JSON)
            refused(response, 429, "queue_full")
            assert int(response.headers["retry-after"]) >= 1
        assert api.get(f"/jobs/{job_id}").status_code == 200
        for waiting in (first, job_id):
            api.post(f"/jobs/{waiting}/cancel")
        api.submit()


@pytest.mark.parametrize("code", ["storage_low", "store_busy"])
def test_22_a_full_disk_is_answered_like_a_busy_database(code: str) -> None:
    response = expected({}, RequestError(code, "later"))
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1


def test_23_acts_on_jobs_that_are_elsewhere(api: Api) -> None:
    done = api.submit()["id"]
    api.finish(done)
    refused(api.post(f"/jobs/{done}/cancel"), 409, "invalid_state")
    waiting = api.submit()["id"]
    for _ in range(2):
        response = api.post(f"/jobs/{waiting}/cancel")
        assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    running = api.submit()["id"]
    api.claim(running)
    refused(api.post(f"/jobs/{running}/retry"), 409, "invalid_state")


def test_24_markup_is_shown_as_text(api: Api) -> None:
    hostile = "<img src=x onerror=alert(1)></script><a href='javascript:alert(1)'>"
    job = api.submit("wordcount", payload={"text": hostile}, tags=["a"])
    api.finish(job["id"], result=json.dumps({"count": hostile}))
    for path in (
        f"/ui/jobs/{job['id']}",
        "/ui/jobs",
        "/",
        f"/ui/jobs?tag={hostile}",
        f"/ui/{hostile}",
    ):
        page = api.get(path)
        assert "<img" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
    assert "&lt;img src=x onerror=alert(1)&gt;" in api.get(f"/ui/jobs/{job['id']}").text


def test_24_control_characters_make_no_second_line_in_the_log(api: Api) -> None:
    api.get("/nope%0d%0a%1b[31mred%0d%0a{%22event%22:%22forged%22}")

    def lines() -> list[str]:
        return [line for line in api.system.log().splitlines() if "forged" in line]

    # Written just after the answer.
    (line,) = eventually(lines)
    assert "\x1b" not in line
    assert json.loads(line)["status"] == 404


@pytest.mark.parametrize(
    "path", ["/static/..%2f..%2fpyproject.toml", "/static/%00", "/static/" + "x" * 5000,
             "/static/../../pyproject.toml", "/static//etc/passwd", "/static/%2e%2e/vendor.toml"],
)  # fmt: skip
def test_25_static_paths(api: Api, path: str) -> None:
    assert api.get(path).status_code == 404


def test_25_ten_thousand_ranges(api: Api) -> None:
    ranges = "bytes=" + ",".join(f"{n % 10}-" for n in range(10_000))
    asked = time.monotonic()
    response = api.get("/static/css/base.css", headers={"Range": ranges})
    assert time.monotonic() - asked < 0.5
    assert response.status_code in (200, 416)


def test_26_requests_that_contradict_themselves(api: Api) -> None:
    chunks = b"26\r\n" + JOB + b"\r\n0\r\n\r\n"
    with connected(api, HEAD + LENGTH + CHUNKED + CLOSE + b"\r\n" + chunks) as connection:
        assert status(rest(connection)) == 400
    response = api.http.put("/jobs")
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, POST"
    refused(api.get("/nothing/here"), 404, "not_found")


def test_27_ten_thousand_types_make_no_series(api: Api) -> None:
    def series() -> int:
        lines = api.get("/metrics").text.splitlines()
        return sum(not line.startswith("#") for line in lines)

    def ask(names: range) -> None:
        bodies = [b'{"type":"random%d"}' % n for n in names]
        head = HEAD + b"Content-Length: %d\r\n\r\n%s"
        for start in range(0, len(bodies), 500):
            some = bodies[start : start + 500]
            requests = b"".join(head % (len(content), content) for content in some)
            with connected(api, requests + GET + CLOSE + b"\r\n") as connection:
                assert rest(connection).count(b'"code":"unknown_type"') == len(some)

    ask(range(1))
    # The first look adds the series of looking.
    series()
    before = series()
    ask(range(10_000))
    assert series() == before

"""Pages of other origins: those named in ORPHEUS_ALLOWED_ORIGINS, and all others."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.api.running import Api, refused, running_api

OURS = ["https://ours.test", "http://localhost:5173"]
# As a browser would never write them, and yet the same.
SAME = ["HTTPS://OURS.test", "https://ours.test:443"]
EVIL = ["https://evil.example", "http://ours.test", "https://ours.test:8443", "https://ours.test.b",
        "https://sub.ours.test", "null", "*", "http://localhost:5174", "https://ours.test,x",
        "https://ours.test https://evil.example"]  # fmt: skip
BEARER = {"Authorization": "Bearer s3cret"}
BODY = {"type": "sum_range", "payload": {"n": 1}}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    environment = {"TOKEN": "s3cret", "ALLOWED_ORIGINS": f"{OURS[0]}/, {OURS[1]}"}
    with running_api(tmp_path_factory.mktemp("cors"), environment) as api:
        yield api


def cors_headers(headers: object) -> dict[str, str]:
    return {k: v for k, v in dict(headers).items() if k.startswith("access-control")}  # type: ignore[call-overload]


def preflight(origin: str, method: str = "POST") -> dict[str, str]:
    return {
        "Origin": origin,
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "cors",
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,idempotency-key",
    }


@pytest.mark.parametrize("origin", [*OURS, *SAME])
@pytest.mark.parametrize("path", ["/jobs", "/jobs/1/cancel", "/stats", "/livez"])
def test_a_named_origin_may_ask_first(shared: Api, origin: str, path: str) -> None:
    response = shared.http.options(path, headers=preflight(origin))
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["access-control-allow-origin"] == origin
    assert "POST" in response.headers["access-control-allow-methods"]
    assert "DELETE" in response.headers["access-control-allow-methods"]
    allowed = response.headers["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "idempotency-key"} <= set(allowed)
    assert "Origin" in response.headers["vary"]
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize("origin", OURS)
def test_a_named_origin_reads_the_answers(shared: Api, origin: str) -> None:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", **BEARER}
    made = shared.post("/jobs", BODY, headers=headers)
    assert made.status_code == 201
    assert made.headers["access-control-allow-origin"] == origin
    assert "Location" in made.headers["access-control-expose-headers"]
    # Also what is refused: a page must be able to show why.
    unknown = shared.get("/jobs/999999", headers=headers)
    refused(unknown, 404, "not_found")
    without_token = shared.get("/jobs", headers={"Origin": origin})
    refused(without_token, 401, "unauthorized")
    for response in (unknown, without_token):
        assert response.headers["access-control-allow-origin"] == origin
        assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize("origin", EVIL)
@pytest.mark.parametrize("method", ["OPTIONS", "POST", "GET", "DELETE"])
def test_all_others_are_refused(shared: Api, origin: str, method: str) -> None:
    headers = preflight(origin) | BEARER
    response = shared.http.request(method, "/jobs", headers=headers)
    refused(response, 403, "cross_origin")
    assert cors_headers(response.headers) == {}
    assert "Origin" in response.headers["vary"]


def test_two_origins_are_none(shared: Api) -> None:
    for second in ("https://evil.example", OURS[0]):
        answer = shared.exchange(
            f"OPTIONS /jobs HTTP/1.1\r\nHost: localhost\r\nOrigin: {OURS[0]}\r\n"
            f"Origin: {second}\r\nAccess-Control-Request-Method: POST\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        assert b"access-control" not in answer.lower()


def test_who_says_nothing_gets_no_header_but_vary(shared: Api) -> None:
    response = shared.get("/jobs", headers=BEARER)
    assert cors_headers(response.headers) == {}
    assert response.headers["vary"] == "Origin"
    # Pages vary by more, and keep saying so.
    assert "Cookie" in shared.get("/", headers=BEARER).headers["vary"]


def test_options_without_a_question_is_no_preflight(shared: Api) -> None:
    response = shared.http.options("/jobs", headers={"Origin": OURS[0], **BEARER})
    refused(response, 405, "method_not_allowed")


def test_a_preflight_opens_nothing(shared: Api) -> None:
    """It is answered before the token; what follows it is not."""
    shared.http.options("/jobs", headers=preflight(OURS[0]))
    refused(shared.post("/jobs", BODY, headers={"Origin": OURS[0]}), 401, "unauthorized")


def test_without_a_list_there_is_no_cors(api: Api) -> None:
    response = api.http.options("/jobs", headers=preflight(api.url))
    refused(response, 405, "method_not_allowed")
    assert cors_headers(response.headers) == {}
    assert "vary" not in response.headers


# --- the socket goes by the same list -------------------------------------------------------------


@pytest.mark.parametrize("origin", [*OURS, *SAME])
def test_a_named_origin_may_open_a_socket(shared: Api, origin: str) -> None:
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site", **BEARER}
    with connect(shared.url.replace("http", "ws") + "/ws", additional_headers=headers) as socket:
        assert '"hello"' in str(socket.recv(timeout=5))


@pytest.mark.parametrize("origin", EVIL)
def test_no_other_origin_opens_a_socket(shared: Api, origin: str) -> None:
    headers = {"Origin": origin, **BEARER}
    url = shared.url.replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus) as refusal, connect(url, additional_headers=headers):
        pass
    assert refusal.value.response.status_code == 403

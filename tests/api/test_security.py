"""Who may talk to the API: Host, Origin, token, and the headers that bind browsers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.api.running import Api, refused, running_api

BODY = {"type": "sum_range", "payload": {"n": 1}}
BAD_HOSTS = ["evil.example", "", "localhost.", "127.0.0.1.evil.example", "localhost:x", "10.0.0.1",
             "[::2]", "a b", "localhost,evil"]  # fmt: skip
GOOD_HOSTS = [
    "localhost",
    "LOCALHOST:1",
    "127.0.0.1",
    "127.0.0.1:9",
    "[::1]",
    "[::1]:80",
    "127.9.9.9",
]
BAD_ORIGINS = ["http://evil.example", "null", "http://localhost", "https://127.0.0.1.evil.example",
               "file://", "http://127.0.0.1:1", "http://[", "http://a]b"]  # fmt: skip


@pytest.mark.parametrize("host", BAD_HOSTS)
def test_a_foreign_host_is_refused(api: Api, host: str) -> None:
    headers = {"Host": host}
    for path in ("/", "/jobs", "/livez", "/static/x"):
        refused(api.get(path, headers=headers), 400, "invalid_host")
    refused(api.post("/jobs", BODY, headers=headers), 400, "invalid_host")


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_a_loopback_host_is_ours(api: Api, host: str) -> None:
    assert api.get("/livez", headers={"Host": host}).status_code == 200


def test_two_hosts_are_none(api: Api) -> None:
    answer = api.exchange(
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("origin", BAD_ORIGINS)
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE", "OPTIONS"])
def test_a_foreign_origin_is_refused(api: Api, method: str, origin: str) -> None:
    response = api.http.request(method, "/jobs", headers={"Origin": origin})
    refused(response, 403, "cross_origin")
    assert not [name for name in response.headers if name.startswith("access-control")]


def test_our_own_origin_is_fine(api: Api) -> None:
    headers = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    assert api.post("/jobs", BODY, headers=headers).status_code == 201


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_request_of_another_site_is_refused(api: Api, site: str) -> None:
    headers = {"Sec-Fetch-Site": site}
    refused(api.post("/jobs", BODY, headers=headers), 403, "cross_origin")
    refused(api.get("/jobs", headers={**headers, "Sec-Fetch-Mode": "cors"}), 403, "cross_origin")


def test_a_link_from_another_site_may_be_followed(api: Api) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert api.get("/docs", headers=headers).status_code == 200
    refused(api.post("/jobs", BODY, headers=headers), 403, "cross_origin")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "websocket"}, 403),
    ],
)
def test_a_socket_is_judged_before_it_is_accepted(
    api: Api, headers: dict[str, str], status: int
) -> None:
    url = api.url.replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus) as refusal, connect(url, additional_headers=headers):
        pass
    assert refusal.value.response.status_code == status


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/jobs", "/nope", "/livez", "/metrics", "/openapi.json"]
)
def test_every_answer_binds_the_browser(api: Api, path: str) -> None:
    headers = api.get(path).headers
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert len(headers["x-request-id"]) == 16


# --- the token ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    environment = {
        "TOKEN": "s3cret",
        "ALLOWED_HOSTS": "orpheus.test",
        "ALLOWED_ORIGINS": "https://ours.test",
        # So that every request has a line, and what must not be in one could be.
        "LOG_LEVEL": "debug",
    }
    with running_api(tmp_path_factory.mktemp("guarded"), environment) as api:
        yield api


@pytest.mark.parametrize("path", ["/", "/jobs", "/metrics", "/docs", "/static/x", "/nope"])
def test_a_token_guards_everything(guarded: Api, path: str) -> None:
    for value in (None, "Bearer wrong", "Basic s3cret", "Bearer", "s3cret"):
        response = guarded.get(path, headers={"Authorization": value} if value else {})
        refused(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
    assert guarded.get(path, headers={"Authorization": "Bearer s3cret"}).status_code != 401


@pytest.mark.parametrize("path", ["/livez", "/healthz"])
def test_health_needs_no_token(guarded: Api, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_socket_needs_the_token_too(guarded: Api) -> None:
    url = guarded.url.replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus) as refusal, connect(url):
        pass
    assert refusal.value.response.status_code == 401
    with connect(url, additional_headers={"Authorization": "Bearer s3cret"}) as socket:
        assert '"hello"' in str(socket.recv(timeout=5))


def test_named_hosts_and_origins_are_ours(guarded: Api) -> None:
    headers = {"Host": "orpheus.test:80", "Origin": "https://ours.test"}
    assert guarded.get("/livez", headers=headers).status_code == 200


def test_nothing_secret_is_logged(guarded: Api, tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer s3cret", "Cookie": "canary-cookie"}
    body = {"type": "wordcount", "payload": {"text": "canary-payload"}}
    assert guarded.post("/jobs", body, headers=headers).status_code == 201
    guarded.get("/jobs?cursor=canary-query", headers=headers)
    log = guarded.system.log()
    assert '"status": 201' in log
    assert "canary" not in log
    assert "s3cret" not in log

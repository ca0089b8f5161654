"""With a token set: what is open, the form for browsers, the cookie it gives, and its end."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from orpheus.api.login_cookie import LIFETIME_SECONDS, NAME, LoginCookie, same_secret
from tests.api.running import Api, refused, running_api
from tests.support.clock import FakeClock
from tests.support.waiting import eventually

TOKEN = "s3cret-Token~9"
BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    environment = {"TOKEN": TOKEN, "LOG_LEVEL": "debug"}
    with running_api(tmp_path_factory.mktemp("login"), environment) as api:
        yield api


@pytest.fixture
def browser(guarded: Api) -> Iterator[httpx.Client]:
    """Keeps cookies, asks for pages, says where its requests come from."""
    headers = {**BROWSER, "Origin": guarded.url}
    with httpx.Client(base_url=guarded.url, headers=headers, timeout=10) as client:
        yield client


def log_in(browser: httpx.Client, token: str = TOKEN, **fields: str) -> httpx.Response:
    return browser.post("/login", data={"token": token, **fields})


# --- everything needs it --------------------------------------------------------------------------


def routes(api: Api) -> list[tuple[str, str]]:
    document = api.get("/openapi.json", headers=BEARER).json()
    found = [
        (method.upper(), path.replace("{id}", "1").replace("{name}", "a"))
        for path, operations in document["paths"].items()
        for method in operations
    ]
    unlisted = ["/", "/ui/jobs", "/ui/jobs/1", "/ui/workers", "/ui/nowhere", "/docs", "/readyz",
                "/openapi.json", "/static/css/base.css", "/static/js/app.js", "/favicon.ico",
                "/nope", "/livez/", "/healthz/x", "//livez", "/login/", "/logins"]  # fmt: skip
    return found + [("GET", path) for path in unlisted]


def test_every_route_needs_the_token_or_the_cookie(guarded: Api, browser: httpx.Client) -> None:
    found = routes(guarded)
    assert len(found) > 25
    log_in(browser)
    cookies = dict(browser.cookies)
    for method, path in found:
        open_ = path in ("/livez", "/healthz")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": f"{NAME}=9.9"}):
            response = guarded.http.request(method, path, headers=headers)
            assert (response.status_code == 401) is not open_, (method, path)
        for headers in (BEARER, {"Cookie": f"{NAME}={cookies[NAME]}"}):
            answered = guarded.http.request(method, path, headers=headers)
            assert answered.status_code != 401, (method, path)


@pytest.mark.parametrize(
    "value",
    ["Bearer wrong", f"Basic {TOKEN}", "Bearer", TOKEN, f"Bearer {TOKEN}x",
     f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN.upper()}", "Bearer \xff"],
)  # fmt: skip
def test_a_wrong_token_is_told_how_to_send_it(guarded: Api, value: str) -> None:
    response = guarded.get("/jobs", headers={"Authorization": value.encode("latin-1")})
    problem = refused(response, 401, "unauthorized")
    assert "Authorization: Bearer" in problem["detail"]
    assert response.headers["www-authenticate"] == "Bearer"


def test_the_scheme_has_no_case(guarded: Api) -> None:
    headers = {"Authorization": f"bearer  {TOKEN}"}
    assert guarded.get("/jobs", headers=headers).status_code == 200


def test_a_refused_body_is_not_read(guarded: Api) -> None:
    answer = guarded.exchange(
        b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 1000000\r\nConnection: close\r\n\r\n"
    )
    assert answer.startswith(b"HTTP/1.1 401 ")


# --- the form -------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/ui/jobs?state=failed&tag=a", "/docs", "/jobs/1"])
def test_a_browser_is_asked_in_place(browser: httpx.Client, path: str) -> None:
    response = browser.get(path)
    assert response.status_code == 401
    assert response.headers["cache-control"] == "no-store"
    assert '<form method="post" action="/login">' in response.text
    assert f'name="next" value="{path.replace("&", "&amp;")}"' in response.text
    assert "<script" not in response.text
    # With no-referrer the browser would post the form with "Origin: null".
    assert response.headers["referrer-policy"] == "same-origin"
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "form-action 'self'" in policy


def test_what_the_form_needs_is_open(browser: httpx.Client) -> None:
    assert browser.get("/login").status_code == 200
    style = browser.get("/login.css")
    assert style.headers["content-type"] == "text/css; charset=utf-8"
    assert "@import" not in style.text
    assert "url(" not in style.text


def test_the_cookie_opens_everything(guarded: Api, browser: httpx.Client) -> None:
    answer = log_in(browser, next="/ui/jobs?state=failed")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/ui/jobs?state=failed"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    page = browser.get("/ui/jobs")
    assert page.status_code == 200
    assert 'action="/logout"' in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert browser.get("/static/js/app.js").status_code == 200
    made = browser.post("/jobs", json={"type": "sum_range", "payload": {"n": 1}})
    assert made.status_code == 201
    url = guarded.url.replace("http", "ws") + "/ws"
    headers = {"Cookie": f"{NAME}={browser.cookies[NAME]}", "Origin": guarded.url}
    with connect(url, additional_headers=headers) as socket:
        assert '"hello"' in str(socket.recv(timeout=5))


def test_who_sends_the_token_sees_no_log_out(guarded: Api) -> None:
    assert "/logout" not in guarded.get("/", headers=BEARER).text


@pytest.mark.parametrize("token", ["", "wr0ng", TOKEN + "x", "' OR 1=1--", "\u0000", "é" * 900])
def test_a_wrong_token_shows_the_form_again(browser: httpx.Client, token: str) -> None:
    answer = log_in(browser, token, next="/ui/workers")
    assert answer.status_code == 401
    assert "That is not the token" in answer.text
    assert 'value="/ui/workers"' in answer.text
    assert "set-cookie" not in answer.headers
    if token:
        assert token not in answer.text


@pytest.mark.parametrize(
    "where",
    ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:alert(1)", "x",
     "/\tx", "/\r\nSet-Cookie: a=b", "/a\\b", "/é", "", "/" + "x" * 3000],
)  # fmt: skip
def test_the_way_on_stays_here(browser: httpx.Client, where: str) -> None:
    assert log_in(browser, next=where).headers["location"] == "/"
    assert 'value="/"' in log_in(browser, "wrong", next=where).text


def test_hostile_text_in_the_address_stays_text(browser: httpx.Client) -> None:
    text = browser.get('/ui/"><img src=x>?a="><img src=x>').text
    assert "<img" not in text


def test_logging_out_takes_the_cookie_back(browser: httpx.Client) -> None:
    log_in(browser)
    assert browser.get("/").status_code == 200
    answer = browser.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert NAME not in browser.cookies
    assert browser.get("/").status_code == 401


def test_a_browser_behind_tls_keeps_the_cookie_to_tls(guarded: Api) -> None:
    headers = {"Host": "localhost", "Origin": "https://localhost"}
    answer = guarded.http.post("/login", data={"token": TOKEN}, headers=headers)
    assert answer.headers["set-cookie"].endswith("; Secure")


def test_a_page_elsewhere_can_neither_log_in_nor_out(guarded: Api) -> None:
    for path in ("/login", "/logout"):
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = guarded.http.post(path, data={"token": TOKEN}, headers=headers)
            refused(answer, 403, "cross_origin")
            assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/logout", {}, 405, "method_not_allowed"),
        ("PUT", "/login", {}, 405, "method_not_allowed"),
        ("POST", "/login", {"json": {"token": TOKEN}}, 415, "unsupported_media_type"),
        ("POST", "/login", {"data": {"token": "x" * 9000}}, 413, "body_too_large"),
    ],
)
def test_other_ways_are_refused(
    guarded: Api, method: str, path: str, options: dict[str, object], status: int, code: str
) -> None:
    refused(guarded.http.request(method, path, **options), status, code)  # type: ignore[arg-type]


def test_a_thousand_fields_are_no_token(guarded: Api) -> None:
    content = "&".join(f"a{n}=1" for n in range(1000)) + f"&token={TOKEN}"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert guarded.http.post("/login", content=content, headers=headers).status_code == 401


def test_without_a_token_there_is_nothing_to_log_in_to(api: Api) -> None:
    refused(api.get("/login"), 404, "not_found")
    assert "/logout" not in api.get("/").text


@pytest.mark.parametrize("headers", [{}, {"Cookie": f"{NAME}=1.{'0' * 64}"}])
def test_a_socket_needs_it_before_it_is_accepted(guarded: Api, headers: dict[str, str]) -> None:
    url = guarded.url.replace("http", "ws") + "/ws"
    with pytest.raises(InvalidStatus) as refusal, connect(url, additional_headers=headers):
        pass
    assert refusal.value.response.status_code == 401


def test_neither_token_nor_cookie_is_logged(guarded: Api, browser: httpx.Client) -> None:
    cookie = log_in(browser).headers["set-cookie"]
    log_in(browser, "almost-" + TOKEN)
    signature = re.findall("[0-9a-f]{64}", cookie)[0]
    # Lines are written just after the answer.
    eventually(lambda: guarded.system.log().count('"path": "/login"') >= 2)
    log = guarded.system.log()
    assert TOKEN not in log
    assert signature not in log


# --- the cookie -----------------------------------------------------------------------------------


def value_of(header: str) -> str:
    return header.partition("=")[2].partition(";")[0]


def test_a_cookie_ends_with_its_time_and_not_with_a_restart() -> None:
    clock = FakeClock()
    value = value_of(LoginCookie(TOKEN, clock).fresh(secure=False))
    assert LoginCookie(TOKEN, clock).is_valid(value)
    clock.advance(LIFETIME_SECONDS - 1)
    assert LoginCookie(TOKEN, clock).is_valid(value)
    clock.advance(1)
    assert not LoginCookie(TOKEN, clock).is_valid(value)


def test_another_token_makes_it_void() -> None:
    clock = FakeClock()
    value = value_of(LoginCookie(TOKEN, clock).fresh(secure=False))
    assert not LoginCookie("another", clock).is_valid(value)


def test_a_forged_cookie_is_none() -> None:
    cookie = LoginCookie(TOKEN, FakeClock())
    value = value_of(cookie.fresh(secure=False))
    until, _, signature = value.partition(".")
    forged = [
        f"{int(until) + 1}.{signature}", f"0{until}.{signature}", f"{until}.{signature[:-1]}",
        f"{until}.{signature.upper()}", until, signature, "", ".", f"{until}.", TOKEN,
        f"-1.{'0' * 64}", value_of(LoginCookie.gone()),
    ]  # fmt: skip
    assert [text for text in forged if cookie.is_valid(text)] == []


def test_secrets_are_compared_whole() -> None:
    assert same_secret(b"a", b"a")
    assert not same_secret(b"a", b"ab")
    assert not same_secret(b"", b"a")

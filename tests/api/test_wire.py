"""Attacks below the requests: lengths that lie, heads without end, connections that say nothing."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from uvicorn.protocols.utils import ClientDisconnected

from orpheus.api.bodies import READ_SECONDS
from orpheus.api.wire import HEAD_BYTES, HEAD_SECONDS, WebSocketProtocol
from tests.api.running import Api
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

START = b"POST /jobs HTTP/1.1\r\nHost: localhost\r\n"
HEAD = START + b"Content-Type: application/json\r\n"
JOB = b'{"type":"sum_range","payload":{"n":1}}'
LENGTH = b"Content-Length: %d\r\n" % len(JOB)
CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"
FLOOD = b"X-Flood: " + b"a" * 990 + b"\r\n"


@contextmanager
def connected(api: Api, start: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", api.system.port), timeout=30) as connection:
        connection.sendall(start)
        yield connection


def rest(connection: socket.socket) -> bytes:
    """All that comes until the server closes, gently or not."""
    answer = b""
    try:
        while piece := connection.recv(65_536):
            answer += piece
    except ConnectionResetError:
        pass
    return answer


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:200]
    return int(answer[9:12])


def problem_code(answer: bytes) -> str:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower(), head
    assert b"connection: close" in head.lower(), head
    code: str = json.loads(body)["code"]
    return code


def jobs(api: Api) -> int:
    return sum(api.get("/stats").json()["jobs"].values())


# --- lengths that lie: inputs 7 and 26 ------------------------------------------------------------

MALFORMED = {
    "negative": HEAD + b"Content-Length: -1\r\n\r\n" + JOB,
    "no number": HEAD + b"Content-Length: x\r\n\r\n" + JOB,
    "hexadecimal": HEAD + b"Content-Length: 0x26\r\n\r\n" + JOB,
    "signed": HEAD + b"Content-Length: +38\r\n\r\n" + JOB,
    "two numbers": HEAD + b"Content-Length: 38, 38\r\n\r\n" + JOB,
    "empty": HEAD + b"Content-Length: \r\n\r\n" + JOB,
    "beyond 64 bits": HEAD + b"Content-Length: 99999999999999999999999999\r\n\r\n" + JOB,
    "twice, other": HEAD + LENGTH + b"Content-Length: 5\r\n\r\n" + JOB,
    "twice, same": HEAD + LENGTH + LENGTH + b"\r\n" + JOB,
    "length and chunks": HEAD + LENGTH + CHUNKED + b"\r\n" + b"26\r\n" + JOB + b"\r\n0\r\n\r\n",
    "chunks and length": HEAD + CHUNKED + LENGTH + b"\r\n" + b"26\r\n" + JOB + b"\r\n0\r\n\r\n",
    "chunks twice": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + b"0\r\n\r\n",
    "unknown coding": HEAD + b"Transfer-Encoding: rot13\r\n\r\n" + JOB,
    "no chunk": HEAD + CHUNKED + b"\r\nnot a chunk\r\n",
    "negative chunk": HEAD + CHUNKED + b"\r\n-5\r\n",
    "endless chunk size": HEAD + CHUNKED + b"\r\n" + b"f" * 20 + b"\r\n",
    "chunk too long": HEAD + CHUNKED + b"\r\n5\r\n" + JOB + b"\r\n0\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
    "HTTP/9": b"GET /livez HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "space in a name": START + b"X Y: 1\r\n\r\n",
    "folded header": START + b"X: 1\r\n 2\r\n\r\n",
    "NUL in a header": START + b"X: a\0b\r\n\r\n",
    "bare CR": START + b"X: a\rb\r\n\r\n",
}


@pytest.mark.parametrize("request_", MALFORMED.values(), ids=MALFORMED)
def test_what_is_no_request_is_told_so_and_left(api: Api, request_: bytes) -> None:
    before = jobs(api)
    with connected(api, request_) as connection:
        answer = rest(connection)
    assert status(answer) == 400
    assert problem_code(answer) == "invalid_parameter"
    assert answer.count(b"HTTP/1.1 ") == 1
    assert jobs(api) == before


def test_too_short_a_length_ends_with_the_request_it_names(api: Api) -> None:
    """What follows is no request; the job that was whole has its answer, not the nonsense."""
    with connected(api, HEAD + LENGTH + b"\r\n" + JOB + b"garbage\r\n\r\n") as connection:
        answer = rest(connection)
    assert status(answer) == 201
    assert b"connection: close" in answer.lower()
    with connected(api, HEAD + b"Content-Length: 2\r\n\r\n" + JOB) as connection:
        answer = rest(connection)
    assert status(answer) == 422
    assert answer.count(b"HTTP/1.1 ") == 1


def test_a_length_beyond_the_limit_is_refused_before_it_comes(api: Api) -> None:
    with connected(api, HEAD + b"Content-Length: 1048577\r\n\r\n") as connection:
        answer = rest(connection)
    assert status(answer) == 413
    assert problem_code(answer) == "body_too_large"


def test_chunks_beyond_the_limit_are_cut(api: Api) -> None:
    chunk = b"10000\r\n" + b" " * 65_536 + b"\r\n"
    with connected(api, HEAD + CHUNKED + b"\r\n") as connection:
        try:
            for _ in range(10_000):
                connection.sendall(chunk)
        except OSError:
            pass
        else:
            pytest.fail("650 MB were taken")
        answer = rest(connection)
    assert not answer or status(answer) == 413


def test_a_request_inside_another_is_not_served(api: Api) -> None:
    """What a proxy that believes the other length would let through."""
    inner = b"DELETE /jobs/1 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    body = b"0\r\n\r\n" + inner
    head = HEAD + CHUNKED + b"Content-Length: %d\r\n\r\n" % len(body)
    with connected(api, head + body) as connection:
        answer = rest(connection)
    assert status(answer) == 400
    assert answer.count(b"HTTP/1.1 ") == 1


def test_pipelined_requests_are_answered_in_order(api: Api) -> None:
    one = HEAD + LENGTH + b"\r\n" + JOB
    with connected(api, one * 50 + GET + CLOSE + b"\r\n") as connection:
        answer = rest(connection)
    assert answer.count(b"HTTP/1.1 201 ") == 50
    assert answer.count(b"HTTP/1.1 200 ") == 1


def test_there_is_no_other_protocol_to_change_to(api: Api) -> None:
    ask = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with connected(api, GET + ask + b"\r\n") as connection:
        assert status(rest(connection)) == 200
    with connected(api, HEAD + ask + LENGTH + b"\r\n" + JOB) as connection:
        answer = rest(connection)
    assert status(answer) == 400
    assert b"Upgrade" in answer


# --- heads ----------------------------------------------------------------------------------------


def test_a_large_head_is_read(api: Api) -> None:
    with connected(api, GET + FLOOD * 60 + CLOSE + b"\r\n") as connection:
        assert status(rest(connection)) == 200


@pytest.mark.parametrize(
    "head",
    [
        GET + FLOOD * 80 + b"\r\n",
        GET + FLOOD * 5_000,
        GET + b"X: " + b"a" * 1_000_000,
        b"GET /" + b"a" * 1_000_000,
        GET + b"A: b\r\n" * 100_000,
    ],
    ids=["many and whole", "many", "one long", "long address", "tiny ones"],
)
def test_a_head_without_end_is_cut(api: Api, head: bytes) -> None:
    assert len(head) > HEAD_BYTES
    answer = b""
    with connected(api) as connection:
        try:
            for start in range(0, len(head), 16_384):
                connection.sendall(head[start : start + 16_384])
        except OSError:
            pass
        answer = rest(connection)
    # It may be cut before the answer was read, but it is never served.
    if answer:
        assert status(answer) == 400
        assert problem_code(answer) == "invalid_parameter"
        assert b"KiB" in answer
    assert api.get("/livez").status_code == 200


# --- time: input 8 --------------------------------------------------------------------------------

STALLED = {
    "body without end": (HEAD + LENGTH + b"\r\n{", 408),
    "no body": (HEAD + LENGTH + b"\r\n", 408),
    "length too long": (HEAD + b"Content-Length: 1000\r\n\r\n" + JOB, 408),
    "chunk without end": (HEAD + CHUNKED + b"\r\n5\r\n{", 408),
    "chunks without end": (HEAD + CHUNKED + b"\r\n1\r\n{\r\n", 408),
    "expects a nod": (HEAD + LENGTH + b"Expect: 100-continue\r\n\r\n", 408),
    "head without end": (HEAD, 408),
    "half a line": (b"GET /li", 408),
    "half a second request": (GET + b"\r\nGET /livez HT", 0),
    "empty lines": (b"\r\n\r\n", 0),
    "nothing": (b"", 0),
    "nothing more": (GET + b"\r\n", 0),
}


def was_let_go(name: str, answer: bytes) -> None:
    """Whether this is all that a stalled connection should have had."""
    want = STALLED[name][1]
    last = answer[answer.rindex(b"HTTP/1.1 ") :] if answer else b""
    if want:
        assert (name, status(last)) == (name, want)
        assert problem_code(last) == "request_timeout"
    else:
        assert (name, last[9:12]) in ((name, b""), (name, b"200"))


def test_a_thousand_idle_connections_slow_nobody_down(api: Api) -> None:
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < 4096:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, most), most))
    with ExitStack() as stack:
        for _ in range(1000):
            stack.enter_context(connected(api))
        for start, _ in STALLED.values():
            stack.enter_context(connected(api, start))
        slowest = 0.0
        for _ in range(100):
            asked = time.monotonic()
            assert api.submit()["id"]
            slowest = max(slowest, time.monotonic() - asked)
        assert slowest < 2


@pytest.mark.long
@pytest.mark.timeout(60)
def test_who_says_nothing_more_is_let_go(api: Api) -> None:
    """In real seconds; test_deadlines.py has the same with shorter ones."""
    before = jobs(api)
    with ExitStack() as stack:
        idle = [stack.enter_context(connected(api)) for _ in range(100)]
        stalled = {
            name: stack.enter_context(connected(api, start)) for name, (start, _) in STALLED.items()
        }
        started = time.monotonic()
        for name, connection in stalled.items():
            was_let_go(name, rest(connection))
        assert time.monotonic() - started < max(HEAD_SECONDS, READ_SECONDS) + 5
        for connection in idle:
            assert rest(connection) == b""
    assert jobs(api) == before


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_body_that_drips_is_not_waited_for(api: Api) -> None:
    with connected(api, HEAD + b"Content-Length: 100000\r\n\r\n{") as connection:
        started = time.monotonic()

        def ended() -> bool:
            try:
                connection.sendall(b" ")
            except OSError:
                return True
            return time.monotonic() - started > 40

        eventually(ended, timeout=60)
        assert time.monotonic() - started < READ_SECONDS + 5


def test_what_is_sent_after_the_parser_ended_a_socket_is_no_defect() -> None:
    """A frame that cannot be arrives while the app is about to send."""

    async def late() -> None:
        protocol = WebSocketProtocol.__new__(WebSocketProtocol)
        protocol.writable = asyncio.Event()
        protocol.writable.set()
        protocol.disconnected = False
        protocol.handshake_complete = protocol.close_sent = True
        protocol.initial_response = None
        with pytest.raises(ClientDisconnected):
            await protocol.send({"type": "websocket.send", "text": "{}"})
        await protocol.send({"type": "websocket.close", "code": 1000})

    asyncio.run(late())

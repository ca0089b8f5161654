"""What a client can do to `/ws` with frames that no library would send, and with too many."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from orpheus.api import wire
from orpheus.api.sockets import MAX_MESSAGE_BYTES
from tests.api.running import Api, running_api
from tests.feed.raw import BINARY, CLOSE, CONT, HANDSHAKE, PING, TEXT, RawClient, frame
from tests.support.waiting import eventually

pytestmark = pytest.mark.processes

MODES = [b"", b"?mode=dashboard"]


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Not shared with anybody who would mind."""
    with running_api(tmp_path_factory.mktemp("attacked")) as api:
        yield api


def memory_of(api: Api) -> int:
    """Resident bytes of the http process."""
    assert api.system.api is not None
    with open(f"/proc/{api.system.api.pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * 4096


def clients_of(api: Api) -> float:
    lines = api.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("orpheus_ws_clients ")).split()[1])


def prompt(api: Api) -> bool:
    """Whether a job is accepted and answered within a second."""
    started = time.monotonic()
    api.submit()
    return time.monotonic() - started < 1


# --- frames that break the protocol, or a limit ---------------------------------------------------

SPLIT = "é".encode()
BROKEN = {
    "20 too large": (frame(TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)), 1009),
    "20 too large, claimed only": (frame(TEXT, length=2**62), 1009),
    "too large in pieces": (
        frame(TEXT, b"x" * 40_000, fin=False) + frame(CONT, b"x" * 40_000), 1009
    ),
    "endless empty pieces": (
        frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 10_000, 1009
    ),
    "20 binary": (frame(BINARY, b"{}"), 1003),
    "binary in pieces": (frame(BINARY, b"{", fin=False) + frame(CONT, b"}"), 1003),
    "20 not JSON": (frame(TEXT, b"{"), 1007),
    "NaN": (frame(TEXT, b'{"op":NaN'), 1007),
    "invalid UTF-8": (frame(TEXT, b'"\xff\xfe"'), 1007),
    "a surrogate in UTF-8": (frame(TEXT, b'"\xed\xa0\x80"'), 1007),
    "half a character": (frame(TEXT, b'"' + SPLIT[:1], fin=False) + frame(CONT, b'"'), 1007),
    "a piece of nothing": (frame(CONT, b"{}"), 1002),
    "two messages at once": (frame(TEXT, b"{", fin=False) + frame(TEXT, b"{}"), 1002),
    "no mask": (b"\x81\x02{}", 1002),
    "unknown opcode": (frame(0x3, b""), 1002),
    "unknown control opcode": (frame(0xB, b""), 1002),
    "reserved bits": (b"\xf1\x80" + bytes(4), 1002),
    "a ping in pieces": (frame(PING, b"", fin=False), 1002),
    "a ping too large": (frame(PING, b"x" * 126), 1002),
    "a close code that is none": (frame(CLOSE, b"\x00\x01"), 1002),
    "half a close code": (frame(CLOSE, b"\x03"), 1002),
}  # fmt: skip


@pytest.mark.parametrize("mode", MODES, ids=["plain", "dashboard"])
@pytest.mark.parametrize(("frames", "code"), BROKEN.values(), ids=BROKEN)
def test_a_frame_that_cannot_be_ends_its_socket(
    attacked: Api, mode: bytes, frames: bytes, code: int
) -> None:
    with RawClient(attacked, mode) as client:
        client.send(frames)
        assert client.close_code() == code
        client.send(frame(CLOSE, code.to_bytes(2, "big")))
        assert client.receive() is None
    log = attacked.system.log()
    assert "Traceback" not in log
    assert '"level": "error"' not in log


def test_a_message_in_pieces_is_one_message(attacked: Api) -> None:
    text = json.dumps({"op": "subscribe", "id": 7, "topic": "summary", "args": {}}).encode()
    with RawClient(attacked, b"?mode=dashboard") as client:
        client.send(frame(TEXT, text[:1], fin=False))
        for index in range(1, len(text)):
            client.send(frame(CONT, text[index : index + 1], fin=False) + frame(PING, b"p"))
        client.send(frame(CONT))
        while (received := client.receive()) is not None:
            if received[0] == TEXT and json.loads(received[1])["type"] == "snapshot":
                break
        assert received is not None


HANDSHAKES = {
    "no key": HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key") % b"",
    "bad key": HANDSHAKE.replace(b"dGhlIHNhbXBsZSBub25jZQ==", b"x") % b"",
    "old version": HANDSHAKE.replace(b"Version: 13", b"Version: 8") % b"",
    "by POST": HANDSHAKE.replace(b"GET ", b"POST ") % b"",
    "many headers": HANDSHAKE.replace(b"\r\n\r\n", b"\r\n" + b"A: b\r\n" * 500 + b"\r\n") % b"",
    "a long header": HANDSHAKE.replace(b"\r\n\r\n", b"\r\nA: " + b"b" * 20_000 + b"\r\n\r\n") % b"",
    "a huge head": HANDSHAKE.replace(b"\r\n\r\n", b"\r\nA: " + b"b" * 200_000 + b"\r\n\r\n") % b"",
    "17 foreign host": HANDSHAKE.replace(b"localhost", b"evil.example") % b"",
    "17 host with a dot": HANDSHAKE.replace(b"localhost", b"localhost.") % b"",
    "17 no host": HANDSHAKE.replace(b"Host: localhost\r\n", b"") % b"",
    "19 foreign origin": HANDSHAKE.replace(b"\r\n\r\n", b"\r\nOrigin: http://evil.example\r\n\r\n")
    % b"",
    "elsewhere": HANDSHAKE.replace(b"/ws", b"/jobs") % b"",
}


@pytest.mark.parametrize("handshake", HANDSHAKES.values(), ids=HANDSHAKES)
def test_a_bad_handshake_opens_nothing(attacked: Api, handshake: bytes) -> None:
    with RawClient(attacked, shake=False) as client:
        client.send(handshake)
        answer = b""
        try:
            while piece := client.socket.recv(65_536):
                answer += piece
        except ConnectionResetError:
            pass
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer
    assert '"level": "error"' not in attacked.system.log()


def cut_off(client: RawClient, flood: bytes) -> None:
    """Send it again and again, reading nothing, until the server has had enough."""
    sent = 0
    while client.send(flood):
        sent += len(flood)
        assert sent < 100_000_000, "it is taken for ever"


# --- floods ---------------------------------------------------------------------------------------


def test_a_flood_of_messages_costs_nobody_else(attacked: Api) -> None:
    before = memory_of(attacked)
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(attacked, mode)) for mode in MODES * 2]
        flood = frame(TEXT, b"0") * 20_000
        ops = frame(TEXT, b'{"op":"pause"}') * 5_000
        for client in clients:
            cut_off(client, ops if client is clients[1] else flood)
            assert prompt(attacked)
        assert memory_of(attacked) - before < 40_000_000
    eventually(lambda: clients_of(attacked) == 0)


@pytest.mark.parametrize("opcode", [PING, 0xA, TEXT])
def test_a_flood_is_cut_off_with_a_reason(attacked: Api, opcode: int) -> None:
    with RawClient(attacked) as client:
        client.send(frame(opcode, b"0") * (wire.MAX_FRAMES_A_SECOND + 1))
        assert client.close_code() == 1008


def test_a_thousand_messages_are_no_flood(attacked: Api) -> None:
    with RawClient(attacked, b"?mode=dashboard") as client:
        client.send(frame(TEXT, b'{"op":"pause"}') * (wire.MAX_FRAMES_A_SECOND - 1))
        client.send(frame(PING, b"still there?"))
        while (received := client.receive()) not in (None, (0xA, b"still there?")):
            pass
        assert received is not None


def test_pings_are_answered_while_they_are_read(attacked: Api) -> None:
    with RawClient(attacked) as client:
        for _ in range(50):
            assert client.send(frame(PING, b"x" * 125) * 10)
            pongs = 0
            while pongs < 10:
                received = client.receive()
                assert received is not None
                pongs += received[0] == 0xA


def test_who_pings_and_reads_nothing_is_cut_off(attacked: Api) -> None:
    """Every ping wants an answer, which would pile up here."""
    before = memory_of(attacked)
    pings = frame(PING, b"x" * 125) * 1000
    with ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(RawClient(attacked))
            cut_off(client, pings)
        assert memory_of(attacked) - before < 5 * wire.MAX_UNREAD_BYTES + 20_000_000
        eventually(lambda: clients_of(attacked) == 0)
    assert prompt(attacked)


def test_subscribing_for_ever_and_reading_nothing_costs_nothing(attacked: Api) -> None:
    subscribe = b"".join(
        frame(TEXT, b'{"op":"subscribe","id":%d,"topic":"jobs","args":{"limit":200}}' % (n % 60))
        for n in range(5_000)
    )
    before = memory_of(attacked)
    with ExitStack() as stack:
        for _ in range(5):
            client = stack.enter_context(RawClient(attacked, b"?mode=dashboard"))
            cut_off(client, subscribe)
        for _ in range(5):
            assert prompt(attacked)
        assert memory_of(attacked) - before < 40_000_000
    eventually(lambda: clients_of(attacked) == 0)


@pytest.mark.long
@pytest.mark.timeout(150)
def test_who_never_reads_is_dropped(tmp_path: Path) -> None:
    """Neither event nor ping is answered: gone within the keep-alive, whatever it was owed."""
    with running_api(tmp_path) as api, ExitStack() as stack:
        jobs = [{"type": "sum_range", "payload": {"n": 1}}] * 10_000
        for _ in range(20):
            deaf = stack.enter_context(socket.create_connection(("127.0.0.1", api.system.port)))
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.sendall(HANDSHAKE % b"")
        eventually(lambda: clients_of(api) == 20)
        before = memory_of(api)
        for _ in range(10):
            api.post("/jobs/batch", {"jobs": jobs})
        eventually(lambda: clients_of(api) == 0, timeout=90)
        assert memory_of(api) - before < 40_000_000

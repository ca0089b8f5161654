"""`python -m bench.http_load PORT PATH CONNECTIONS SECONDS BODY-FILE`: one loop of requests.

Keeps one request in flight on each kept-alive connection, on loopback only, for a bounded time.
Prints requests, seconds, statuses and latencies. A protocol, not a client library: it must cost
less than what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import cast

import uvloop

from bench.figures import percentile


class Load:
    """What all connections share."""

    def __init__(self, request: bytes, until: float) -> None:
        self.request = request
        self.until = until
        self.statuses: Counter[str] = Counter()
        self.seconds: list[float] = []
        self.open = 0
        self.finished = asyncio.Event()


class Caller(asyncio.Protocol):
    """One connection: the next request as soon as the last is answered."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._buffer = b""
        self._sent = 0.0
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's is none by type
        self._load.open += 1
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        self._buffer = self._buffer[end + 4 + length :]
        now = time.perf_counter()
        load = self._load
        load.statuses[head[9:12].decode()] += 1
        load.seconds.append(now - self._sent)
        if now < load.until:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._load.statuses["broken"] += 1
        self._load.open -= 1
        if not self._load.open:
            self._load.finished.set()

    def _send(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._load.request)


def request_bytes(port: int, path: str, body: bytes) -> bytes:
    """A whole POST."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _load(port: int, path: str, connections: int, seconds: float, body: bytes) -> None:
    begun = time.perf_counter()
    load = Load(request_bytes(port, path, body), begun + seconds)
    loop = asyncio.get_running_loop()
    for _ in range(connections):
        await loop.create_connection(lambda: Caller(load), "127.0.0.1", port)
    await asyncio.wait_for(load.finished.wait(), seconds + 30)
    took = time.perf_counter() - begun
    print(
        json.dumps(
            {
                "requests": len(load.seconds),
                "seconds": took,
                "rate": len(load.seconds) / took,
                "statuses": load.statuses,
                "p50_ms": percentile(load.seconds, 50) * 1000,
                "p99_ms": percentile(load.seconds, 99) * 1000,
            }
        )
    )


def main() -> int:
    """Parse, load, print."""
    port, path, connections, seconds, body = sys.argv[1:]
    uvloop.run(_load(int(port), path, int(connections), float(seconds), Path(body).read_bytes()))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The feed with fifty readers: how long after its time an event is read, also beside one who never
reads, while jobs are submitted at an even rate.

An event's time is that of its transaction, before the commit; it is received as text by all readers
and parsed by a few, since parsing fifty copies here would measure this process.
"""

from __future__ import annotations

import asyncio
import json
import time
from datetime import datetime

from websockets.asyncio.client import ClientConnection, connect

from bench.exchange import Exchange
from bench.figures import percentile
from bench.orpheus_system import Orpheus
from bench.paced import paced
from bench.run_state import Run

_READERS = 50
_PARSED = 5
_PER_SECOND = 100
_BODY = b'{"type":"bench_sum","payload":{"n":100}}'


def run(run: Run) -> None:
    """Each a round."""
    seconds = run.seconds(5, 3)
    with run.scratch("feed") as folder:
        system = Orpheus(folder)
        with system.api(), system.pool():
            for _ in range(run.rounds):
                for stuck in (0, 1):
                    lags = asyncio.run(_lags(system, int(_PER_SECOND * seconds), stuck))
                    beside = ", one who never reads" if stuck else ""
                    subject = f"{_READERS} readers{beside}, {_PER_SECOND} jobs/s"
                    for share in (50, 99):
                        value = percentile(lags, share)
                        run.results.add("feed", subject, f"lag p{share}", "ms", value)


async def _lags(system: Orpheus, jobs: int, stuck: int) -> list[float]:
    """Milliseconds from each event's time to its receipt."""
    url = f"ws://127.0.0.1:{system.port}/ws"
    sockets = [await connect(url, max_size=None, compression=None) for _ in range(_READERS)]
    silent = [await connect(f"{url}?since=0", max_size=None, max_queue=1) for _ in range(stuck)]
    lags: list[float] = []
    readers = [
        asyncio.create_task(_read(socket, lags if number < _PARSED else None))
        for number, socket in enumerate(sockets)
    ]
    await asyncio.to_thread(_submit, system.port, jobs)
    # Three events a job: pending, in_progress, done.
    deadline = time.monotonic() + 30
    while len(lags) < 3 * jobs * _PARSED:
        if time.monotonic() > deadline:
            raise RuntimeError(f"{len(lags)} events of {3 * jobs * _PARSED}")
        await asyncio.sleep(0.05)
    for reader in readers:
        reader.cancel()
    for socket in (*sockets, *silent):
        socket.transport.abort()
    return lags


async def _read(socket: ClientConnection, lags: list[float] | None) -> None:
    async for text in socket:
        now = time.time()
        if lags is None:
            continue
        frame = json.loads(text)
        lags += [1000 * (now - _moment(event["at"])) for event in frame.get("events", ())]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _submit(port: int, jobs: int) -> None:
    exchange = Exchange(port)
    paced(lambda: exchange.post("/jobs", _BODY), jobs, _PER_SECOND)
    exchange.close()

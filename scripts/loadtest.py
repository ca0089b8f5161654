"""N clients submit M jobs over HTTP, wait for all of them and check every result.

    .venv/bin/python scripts/loadtest.py --clients 50 --jobs 10000

Ends with 1 if a job is lost, ends wrongly or has a wrong result, if a response has a status of 500
or more, or if a connection breaks. Submit latency is measured here, request to response. Submit →
done is the server's own `finished_at - created_at`, so that looking costs the figure nothing. The
client is raw HTTP/1.1 over kept-alive asyncio connections: a full HTTP library would mostly measure
itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import uvloop
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

WORDS = ("orpheus", "eurydice", "lyre", "underworld", "looked", "back")
_FINAL = ("done", "failed", "cancelled")


class Broken(Exception):
    """The connection failed, or what came over it was not HTTP as Orpheus speaks it."""


class Connection:
    """One kept-alive HTTP/1.1 connection; one request at a time."""

    def __init__(self, url: str, token: str | None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = f"Host: {parts.netloc}\r\n{authorization}"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
        """Status and parsed body."""
        kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{kind}\r\n"
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(head.encode("ascii") + body)
            raw = await reader.readuntil(b"\r\n\r\n")
            status, length, closing = _parse_head(raw)
            content = await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self.close()
            raise Broken(f"{method} {path}: {error or type(error).__name__}") from error
        if closing:
            self.close()
        return status, json.loads(content) if content else None

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def _parse_head(raw: bytes) -> tuple[int, int, bool]:
    lines = raw.decode("latin-1").lower().split("\r\n")
    fields = dict(line.split(":", 1) for line in lines[1:] if ":" in line)
    if "content-length" not in fields and not lines[0].split()[1].startswith("204"):
        raise Broken(f"no Content-Length in the answer {lines[0]!r}")
    return (
        int(lines[0].split()[1]),
        int(fields.get("content-length", "0")),
        "close" in fields.get("connection", ""),
    )


@dataclass
class Submitted:
    """An acknowledged job and what it must result in."""

    job_id: int
    expected: dict[str, int]


@dataclass
class Tally:
    """What happened; filled by all clients."""

    submit_seconds: list[float] = field(default_factory=list)
    done_seconds: list[float] = field(default_factory=list)
    last_finished: float = 0.0
    first_created: float = float("inf")
    statuses: Counter[int] = field(default_factory=Counter)
    acknowledged: list[Submitted] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def problem(self, kind: str, example: str) -> None:
        """Count a problem; the first few are shown."""
        self.problems[kind] += 1
        if len(self.examples) < 10:
            self.examples.append(f"{kind}: {example}")


def make_job(rng: random.Random) -> tuple[bytes, dict[str, int]]:
    """A small job and its right result."""
    if rng.random() < 0.5:
        n = rng.randrange(1_000)
        request: dict[str, Any] = {"type": "sum_range", "payload": {"n": n}}
        expected = {"sum": n * (n + 1) // 2}
    else:
        words = rng.choices(WORDS, k=rng.randrange(1, 20))
        request = {"type": "wordcount", "payload": {"text": " ".join(words)}}
        expected = {"count": len(words)}
    return json.dumps(request).encode(), expected


async def submit_share(
    connection: Connection, share: int, rng: random.Random, tally: Tally, bar: Bar
) -> None:
    """One client: submit jobs one after the other, each as soon as the last is acknowledged."""
    for _ in range(share):
        body, expected = make_job(rng)
        begun = time.perf_counter()
        try:
            status, answer = await connection.request("POST", "/jobs", body)
            while status == 429:
                tally.statuses[status] += 1
                await asyncio.sleep(1)
                status, answer = await connection.request("POST", "/jobs", body)
        except Broken as error:
            tally.problem("connection broken", str(error))
            continue
        tally.submit_seconds.append(time.perf_counter() - begun)
        tally.statuses[status] += 1
        if status == 201:
            tally.acknowledged.append(Submitted(answer["id"], expected))
        else:
            tally.problem(f"submit answered {status}", str(answer))
        bar.advance()


async def check_share(
    connection: Connection, mine: list[Submitted], deadline: float, tally: Tally, bar: Bar
) -> None:
    """One client: wait for each of its jobs and compare the result."""
    for submitted in mine:
        try:
            job = await _final(connection, submitted, deadline, tally)
        except Broken as error:
            tally.problem("connection broken", str(error))
            continue
        if job is not None:
            _check(job, submitted, tally)
        bar.advance()


async def _final(
    connection: Connection, submitted: Submitted, deadline: float, tally: Tally
) -> dict[str, Any] | None:
    while True:
        left = max(0.0, deadline - time.perf_counter())
        path = f"/jobs/{submitted.job_id}?wait={min(left, 30.0):.3f}"
        status, job = await connection.request("GET", path)
        tally.statuses[status] += 1
        if status != 200:
            tally.problem("lost" if status == 404 else f"get answered {status}", str(job))
            return None
        if job["state"] in _FINAL:
            found: dict[str, Any] = job
            return found
        if time.perf_counter() >= deadline:
            tally.problem("not finished in time", f"job {submitted.job_id} is {job['state']}")
            return None


def _check(job: dict[str, Any], submitted: Submitted, tally: Tally) -> None:
    if job["state"] != "done":
        tally.problem(f"ended {job['state']}", f"job {submitted.job_id}: {job['error']}")
    elif job["result"] != submitted.expected:
        tally.problem(
            "wrong result",
            f"job {submitted.job_id}: {job['result']}, not {submitted.expected}",
        )
    else:
        created = datetime.fromisoformat(job["created_at"]).timestamp()
        finished = datetime.fromisoformat(job["finished_at"]).timestamp()
        tally.done_seconds.append(finished - created)
        tally.first_created = min(tally.first_created, created)
        tally.last_finished = max(tally.last_finished, finished)


class Bar:
    """One line of progress."""

    def __init__(self, progress: Progress, title: str, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total)

    def advance(self) -> None:
        """One more."""
        self._progress.advance(self._task)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    """Progress on standard error, so that `--json` on standard output stays clean."""
    with Progress(
        TextColumn("{task.description:<9}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        refresh_per_second=4,
    ) as progress:
        yield progress


async def load(arguments: argparse.Namespace, token: str | None) -> tuple[Tally, float, float]:
    """The whole test: the tally, seconds of submitting and seconds of it all."""
    tally = Tally()
    clients = min(arguments.clients, arguments.jobs)
    connections = [Connection(arguments.url, token) for _ in range(clients)]
    # Not a secret: a seed makes a run repeatable.
    rngs = [random.Random(f"{arguments.seed}/{index}") for index in range(clients)]
    shares = [len(range(index, arguments.jobs, clients)) for index in range(clients)]
    begun = time.perf_counter()
    with progress_bars() as progress:
        bar = Bar(progress, "submitted", arguments.jobs)
        await asyncio.gather(
            *(
                submit_share(connection, share, rng, tally, bar)
                for connection, share, rng in zip(connections, shares, rngs, strict=True)
            )
        )
        submitting = time.perf_counter() - begun
        for connection in connections:
            connection.close()
        bar = Bar(progress, "checked", len(tally.acknowledged))
        deadline = time.perf_counter() + arguments.timeout
        await asyncio.gather(
            *(
                check_share(connection, tally.acknowledged[index::clients], deadline, tally, bar)
                for index, connection in enumerate(connections)
            )
        )
    for connection in connections:
        connection.close()
    return tally, submitting, time.perf_counter() - begun


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Milliseconds: p50, p90, p99, max."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    figures = {f"p{share}": ordered[round(last * share / 100)] for share in (50, 90, 99)}
    return {
        name: round(value * 1000, 2) for name, value in (figures | {"max": ordered[-1]}).items()
    }


def report(tally: Tally, arguments: argparse.Namespace, submitting: float, whole: float) -> Any:
    """The figures, as one document."""
    working = tally.last_finished - tally.first_created
    return {
        "clients": arguments.clients,
        "jobs": arguments.jobs,
        "acknowledged": len(tally.acknowledged),
        "right": len(tally.done_seconds),
        "seconds": round(whole, 3),
        "submitted_per_second": round(len(tally.acknowledged) / submitting, 1),
        "done_per_second": round(len(tally.done_seconds) / working, 1) if working > 0 else None,
        "submit_ms": percentiles(tally.submit_seconds),
        "submit_to_done_ms": percentiles(tally.done_seconds),
        "statuses": {str(status): n for status, n in sorted(tally.statuses.items())},
        "problems": dict(tally.problems),
        "ok": len(tally.done_seconds) == arguments.jobs
        and not tally.problems
        and not any(status >= 500 for status in tally.statuses),
    }


def _show(document: dict[str, Any], examples: list[str]) -> None:
    def line(name: str, figures: dict[str, float]) -> str:
        return f"{name:<16}" + "  ".join(f"{key} {value} ms" for key, value in figures.items())

    print(
        f"{document['right']} of {document['jobs']} jobs done and right in {document['seconds']} s"
    )
    print(f"{'submitted':<16}{document['submitted_per_second']} jobs/s")
    print(f"{'done':<16}{document['done_per_second']} jobs/s")
    print(line("submit", document["submit_ms"]))
    print(line("submit to done", document["submit_to_done_ms"]))
    print(f"{'responses':<16}{document['statuses']}")
    for kind, count in document["problems"].items():
        print(f"PROBLEM {kind}: {count}")
    for example in examples:
        print(f"  {example}")


def main() -> int:
    """0 if every job was acknowledged, done and right, and no response was 500 or more."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clients", type=int, default=50, help="concurrent connections")
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs in all")
    parser.add_argument("--url", help="server; default: ORPHEUS_URL, else from the settings")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds for all to be done")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same jobs")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    if arguments.clients < 1 or arguments.jobs < 1:
        parser.error("--clients and --jobs must be at least 1")

    from orpheus.client.http import server_url
    from orpheus.settings import load_settings

    settings = load_settings()
    arguments.url = arguments.url or server_url(settings.url, settings.host, settings.port)
    token = settings.token.get_secret_value() if settings.token else None
    tally, submitting, whole = uvloop.run(load(arguments, token))
    document = report(tally, arguments, submitting, whole)
    if arguments.json:
        print(json.dumps(document, indent=2))
    else:
        _show(document, tally.examples)
    return 0 if document["ok"] else 1


if __name__ == "__main__":
    sys.exit(main())

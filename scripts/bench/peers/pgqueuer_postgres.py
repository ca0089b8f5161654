"""PgQueuer on PostgreSQL, with its default batch of 10."""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from typing import Any

from bench.peers import work
from bench.peers.async_calls import call
from bench.peers.surroundings import server_url

TITLE = "PgQueuer (PostgreSQL)"
SERVER = "postgres"
DURABILITY = "PostgreSQL's default, synced"
NOTE = "two workers, batches of 10 (default)"
JOBS = 5000
BATCH = 10

_queries: Any = None


async def consumer() -> Any:
    """The worker, with its entry points."""
    connection = await importlib.import_module("asyncpg").connect(server_url())
    app = importlib.import_module("pgqueuer").PgQueuer.from_asyncpg_connection(connection)

    async def sum_range(job: Any) -> None:
        work.sum_range(int(job.payload))

    async def started(job: Any) -> None:
        work.started(int(job.payload))

    app.entrypoint("sum_range")(sum_range)
    app.entrypoint("started")(started)
    return app


def workers(batch: int = BATCH) -> list[list[str]]:
    """Two workers."""
    return [[sys.executable, "-m", "bench.peers.pgqueuer_postgres", str(batch)]] * 2


async def _connected() -> Any:
    global _queries
    if _queries is None:
        connection = await importlib.import_module("asyncpg").connect(server_url())
        driver = importlib.import_module("pgqueuer.db").AsyncpgDriver(connection)
        _queries = importlib.import_module("pgqueuer.queries").Queries(driver)
    return _queries


def setup() -> None:
    """Makes the schema."""

    async def install() -> None:
        await (await _connected()).install()

    call(install())


def enqueue(n: int) -> None:
    """One by one."""

    async def all_() -> None:
        queries = await _connected()
        for _ in range(n):
            await queries.enqueue("sum_range", b"100")

    call(all_())


def stamp() -> None:
    """One now."""

    async def one() -> None:
        await (await _connected()).enqueue("started", str(time.monotonic_ns()).encode())

    call(one())


async def main() -> None:
    """What `pgq run` does; that command does not start with every version of its own libraries."""
    await (await consumer()).run(batch_size=int(sys.argv[1]))


if __name__ == "__main__":
    asyncio.run(main())

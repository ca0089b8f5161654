"""The API's read-only connections.

Owns a few aiosqlite connections (`mode=ro`, `query_only`) and lends one per read. Opened and closed
by the API's lifespan, used by `store.reads` only. Never writes, never takes the gate. A read that
is cancelled or fails leaves a clean connection behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiosqlite
import anyio

from orpheus.errors import StoreBusy, StoreFailed
from orpheus.store.database import close, connect_readonly, readonly_uri

_PRAGMAS = (
    "PRAGMA query_only = ON",
    "PRAGMA busy_timeout = 250",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA mmap_size = 0",
)
_READ_SECONDS = 5.0

Parameters = Sequence[object] | dict[str, object]


class Snapshot:
    """Reads that all see the database at one moment."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def rows(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        return list(await self._connection.execute_fetchall(sql, parameters))

    async def one(self, sql: str, parameters: Parameters = ()) -> sqlite3.Row | None:
        rows = await self.rows(sql, parameters)
        return rows[0] if rows else None


class ReadPool:
    """`size` read-only connections to the database at `path`; an async context manager."""

    def __init__(self, path: Path, size: int = 3) -> None:
        self._path = path
        self._size = size
        self._idle: list[aiosqlite.Connection] = []
        self._free = anyio.Semaphore(size)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> ReadPool:
        # Where it cannot be opened, aiosqlite's thread would still answer when the loop is closed.
        close(connect_readonly(self._path))
        async with AsyncExitStack() as stack:
            for _ in range(self._size):
                connection = await stack.enter_async_context(
                    aiosqlite.connect(readonly_uri(self._path), uri=True, isolation_level=None)
                )
                connection.row_factory = sqlite3.Row
                for pragma in _PRAGMAS:
                    await connection.execute_fetchall(pragma)
                self._idle.append(connection)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._idle.clear()
        await self._stack.aclose()

    async def rows(self, sql: str, parameters: Parameters = ()) -> list[sqlite3.Row]:
        """All rows of one statement."""
        async with self._lend() as connection:
            return await Snapshot(connection).rows(sql, parameters)

    async def one(self, sql: str, parameters: Parameters = ()) -> sqlite3.Row | None:
        """The first row of one statement, or None."""
        rows = await self.rows(sql, parameters)
        return rows[0] if rows else None

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Snapshot]:
        """Several statements in one read transaction; keep it short, it holds back the WAL."""
        async with self._lend() as connection:
            await connection.execute_fetchall("BEGIN")
            yield Snapshot(connection)
            await connection.rollback()

    @asynccontextmanager
    async def _lend(self) -> AsyncIterator[aiosqlite.Connection]:
        async with self._free:
            connection = self._idle.pop()
            try:
                with anyio.fail_after(_READ_SECONDS):
                    try:
                        yield connection
                    except BaseException:
                        with anyio.CancelScope(shield=True):
                            await _clean(connection)
                        raise
            except TimeoutError:
                raise StoreBusy("the database did not answer a read in time") from None
            except sqlite3.DatabaseError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                    raise StoreBusy("the database is locked by another program") from error
                raise StoreFailed(f"cannot read the database: {error}") from error
            finally:
                self._idle.append(connection)


async def _clean(connection: aiosqlite.Connection) -> None:
    """End what a reader left behind: a running or waiting statement, an open transaction."""
    async with anyio.create_task_group() as tasks:

        async def finish() -> None:
            # Runs in the connection's thread after everything queued before it.
            await connection.rollback()
            tasks.cancel_scope.cancel()

        tasks.start_soon(finish)
        while True:
            # Repeated, because a statement that has not begun yet cannot be interrupted.
            await connection.interrupt()
            await anyio.sleep(0.002)

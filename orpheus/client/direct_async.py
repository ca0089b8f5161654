"""`DirectClient` for programs with an event loop; public as `orpheus.AsyncDirectClient`.

Waits in threads of its own limit, so that neither the loop nor anybody else's threads wait for the
gate. Which thread waits is of no matter: the write is made by the committer's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import anyio
from anyio import to_thread

from orpheus.client.direct import Also, DirectClient, Job, shown
from orpheus.client.order import Order, Written

# How many submits wait together; more wait for these.
_WAITING = 64


class AsyncDirectClient:
    """Submits to the database in a data folder from coroutines; see `DirectClient`.

    A submit that is cancelled is dropped if its turn has not come, and written otherwise.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike[str] | None = None,
        *,
        handlers: Sequence[str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        self._client = DirectClient(data_dir, handlers=handlers, timeout=timeout)
        self._limiter = anyio.CapacityLimiter(_WAITING)

    async def __aenter__(self) -> AsyncDirectClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(self._client.close)

    async def submit(
        self,
        job_type: str,
        payload: Mapping[str, Any] | None = None,
        /,
        *,
        idempotency_key: str | None = None,
        also: Also = (),
        **options: Any,
    ) -> Job:
        """As `DirectClient.submit`."""
        order = self._client.order_one(job_type, payload, idempotency_key, also, options)
        return shown(await self._commit(order))

    async def submit_many(
        self,
        jobs: Sequence[Mapping[str, Any]],
        *,
        idempotency_key: str | None = None,
        also: Also = (),
    ) -> list[Job]:
        """As `DirectClient.submit_many`."""
        # Judging thousands takes a while, in which the loop can do other things.
        order = await to_thread.run_sync(
            self._client.order_many, jobs, idempotency_key, also, limiter=self._limiter
        )
        return (await self._commit(order)).items()

    async def _commit(self, order: Order) -> Written:
        try:
            return await to_thread.run_sync(
                self._client.commit, order, abandon_on_cancel=True, limiter=self._limiter
            )
        except anyio.get_cancelled_exc_class():
            order.abandon()
            raise

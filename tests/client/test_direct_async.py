"""The direct client for programs with an event loop."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from orpheus import AsyncDirectClient
from orpheus.errors import InvalidRequest, StoreBusy
from tests.client.direct_setup import Folder, make_folder
from tests.support.waiting import eventually

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return make_folder(tmp_path)


async def test_submits_one_and_many(folder: Folder) -> None:
    async with AsyncDirectClient(folder.data_dir, handlers=()) as client:
        job = await client.submit(
            "sum_range", {"n": 1}, also=[("INSERT INTO orders (item) VALUES (?)", ("a",))]
        )
        items = await client.submit_many([{"type": "sum_range", "payload": {"n": 2}}] * 3)
        with pytest.raises(InvalidRequest):
            await client.submit("nothing")
    assert (job["id"], job["state"]) == (1, "pending")
    assert [item["id"] for item in items] == [2, 3, 4]
    assert folder.count("orders") == 1


async def test_many_coroutines_share_it(folder: Folder) -> None:
    ids: list[int] = []

    async def produce(n: int) -> None:
        ids.append((await client.submit("sum_range", {"n": n}))["id"])

    client = AsyncDirectClient(folder.data_dir, handlers=())
    async with client, anyio.create_task_group() as tasks:
        for n in range(150):
            tasks.start_soon(produce, n)
    assert sorted(ids) == list(range(1, 151))


async def test_the_loop_goes_on_while_the_gate_is_shut(folder: Folder) -> None:
    async with AsyncDirectClient(folder.data_dir, handlers=(), timeout=0.3) as client:
        await client.submit("sum_range", {"n": 1})
        with folder.gate_held():
            async with anyio.create_task_group() as tasks:

                async def refused() -> None:
                    with pytest.raises(StoreBusy):
                        await client.submit("sum_range", {"n": 2})
                    tasks.cancel_scope.cancel()

                tasks.start_soon(refused)
                with anyio.fail_after(5):
                    for _ in range(10):
                        await anyio.sleep(0.01)
                await anyio.sleep_forever()
    assert folder.count("jobs") == 1


async def test_a_cancelled_submit_whose_turn_has_not_come_is_dropped(folder: Folder) -> None:
    async with AsyncDirectClient(folder.data_dir, handlers=()) as client:
        await client.submit("sum_range", {"n": 1})
        with folder.gate_held():
            with anyio.move_on_after(0.1) as scope:
                await client.submit("sum_range", {"n": 2})
            assert scope.cancelled_caught
        assert (await client.submit("sum_range", {"n": 3}))["id"] == 2
    eventually(folder.gate_is_free)
    assert folder.count("jobs") == 2

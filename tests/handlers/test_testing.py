"""`orpheus.testing.run` behaves as a real run does, as far as a handler can tell."""

from __future__ import annotations

import pytest

from orpheus import Context, JobCancelled, job
from orpheus.errors import InvalidRequest
from orpheus.testing import FakeContext, run


@job
def greet(ctx: Context, name: str) -> dict[str, object]:
    ctx.log.info("greeting", name=name)
    ctx.progress(1)
    ctx.check()
    return {"text": f"hello {name}", "pair": (1, 2)}


@job
async def greet_async(name: str) -> str:
    return f"hello {name}"


def test_the_result_made_the_trip_through_json() -> None:
    assert run(greet, {"name": "Ann"}) == {"text": "hello Ann", "pair": [1, 2]}


def test_coroutine_handlers_run_too() -> None:
    assert run(greet_async, {"name": "Ann"}) == "hello Ann"


def test_the_payload_is_validated() -> None:
    with pytest.raises(InvalidRequest, match=r"payload\.name"):
        run(greet, {"name": 5})


def test_the_context_is_the_tests_own() -> None:
    context = FakeContext(cancelled=True)
    with pytest.raises(JobCancelled):
        run(greet, {"name": "Ann"}, context)
    assert context.log.lines == [("info", "greeting", {"name": "Ann"})]
    assert context.progressed == [(1, 1, "")]


def test_a_result_that_is_not_json_is_an_error() -> None:
    @job
    def returns_a_set() -> object:
        return {1}

    with pytest.raises(TypeError):
        run(returns_a_set)

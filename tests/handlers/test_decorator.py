"""`@job` in all its forms, and the options it refuses at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from orpheus import Backoff, job
from orpheus.errors import ConfigurationError
from orpheus.handlers.declaration import declaration_of
from orpheus.handlers.loader import job_type_of


def test_the_function_itself_comes_back() -> None:
    def double(n: int) -> int:
        """Twice the number."""
        return 2 * n

    assert job(double) is double
    assert job("twice")(double) is double
    assert double(4) == 8


def test_bare_use_takes_the_functions_name_and_leaves_the_rest_to_the_settings() -> None:
    @job
    def double(n: int) -> int:
        """Twice the number."""
        return 2 * n

    job_type = job_type_of(double)
    assert (job_type.name, job_type.lane, job_type.queue) == ("double", "sync", "default")
    assert job_type.doc == "Twice the number."
    assert job_type.source.startswith("tests.handlers.test_decorator:")
    options = (job_type.timeout, job_type.max_retries, job_type.max_crashes, job_type.backoff)
    assert options == (None, None, None, None)


def test_every_option_is_kept() -> None:
    @job("img:resize", queue="images", timeout=30, max_retries=5, max_crashes=2, backoff=0.5)
    async def resize() -> None: ...

    job_type = job_type_of(resize)
    assert (job_type.name, job_type.queue, job_type.lane) == ("img:resize", "images", "async")
    assert (job_type.timeout, job_type.max_retries, job_type.max_crashes) == (30, 5, 2)
    assert job_type.backoff == Backoff(base=0.5, cap=300.0)


def test_brackets_without_arguments_are_bare_use() -> None:
    @job()
    def double() -> None: ...

    assert job_type_of(double).name == "double"


def test_a_large_backoff_raises_the_cap() -> None:
    @job(backoff=600)
    def slow() -> None: ...

    assert declaration_of(slow).backoff == Backoff(600, 600)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"timeout": 2_592_001}, "timeout must be more than 0 and at most 2592000 seconds"),
        ({"timeout": "5"}, "timeout must be a number"),
        ({"max_retries": -1}, "max_retries must be from 0 to 100"),
        ({"max_retries": 101}, "max_retries must be from 0 to 100"),
        ({"max_retries": True}, "max_retries must be an integer"),
        ({"max_crashes": 0}, "max_crashes must be from 1 to 100"),
        ({"queue": "no spaces"}, "queue must be 1 to 100 of"),
        ({"backoff": -1}, "backoff must be from 0"),
        ({"backoff": "1"}, "backoff must be a number"),
        ({"backoff": Backoff(10, 5)}, "cap of backoff must be at least its base"),
    ],
    ids=str,
)
def test_a_wrong_option_names_itself_and_the_place(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:

        @job(**options)
        def handler() -> None: ...

    assert "tests.handlers.test_decorator:" in str(caught.value)


@pytest.mark.parametrize("name", ["", "two words", "ä", "x" * 101, 5])
def test_a_wrong_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="name must be"):

        @job(name)  # type: ignore[untyped-decorator]
        def handler() -> None: ...


class Callme:
    def __call__(self) -> None: ...


def generator() -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("value", [Callme, Callme(), len, generator, lambda: None], ids=repr)
def test_only_functions_that_return_are_handlers(value: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="@job"):
        job(value)


def test_a_function_without_job_is_no_job_type() -> None:
    with pytest.raises(ConfigurationError, match=r"test_decorator:\d+ has no @job"):
        job_type_of(generator)

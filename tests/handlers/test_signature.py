"""A handler's signature is its payload: what it takes, refuses, passes on, and shows as schema."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, field_validator

from orpheus import Context
from orpheus.errors import ConfigurationError, InvalidRequest
from orpheus.handlers.signature import Signature
from orpheus.testing import FakeContext

if TYPE_CHECKING:
    from somewhere import Unknown  # type: ignore[import-not-found]


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    SMALL = 1


@dataclass
class Point:
    x: int
    y: int = 0


class Order(BaseModel):
    id: int
    at: datetime
    items: list[str] = []


class Fussy(BaseModel):
    n: int

    @field_validator("n")
    @classmethod
    def _breaks(cls, value: int) -> int:
        raise RuntimeError(f"a bug in the validator of {value}")


def arguments(handler: Callable[..., object], payload: str) -> dict[str, object]:
    return Signature(handler, "test").arguments(payload)


def refusal(handler: Callable[..., object], payload: str) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        arguments(handler, payload)
    assert caught.value.code == "invalid_payload"
    return caught.value


def resize(ctx: Context, path: str, width: int = 800) -> None: ...


def test_the_context_is_injected_and_no_field() -> None:
    context = FakeContext()
    signature = Signature(resize, "resize")
    assert signature.arguments('{"path":"a"}', context) == {"path": "a", "ctx": context}
    assert refusal(resize, '{"path":"a","ctx":1}').errors[0][0] == ("payload", "ctx")


def test_defaults_stay_pythons_own() -> None:
    def takes(items: list[int] = [], at: object = object()) -> None: ...  # noqa: B006

    assert arguments(takes, "{}") == {}
    assert arguments(takes, '{"items":[1]}') == {"items": [1]}


@pytest.mark.parametrize(
    ("annotation", "json_text", "value"),
    [
        (int, "5", 5),
        (int, str(-(10**4299)), -(10**4299)),
        (float, "5", 5.0),
        (bool, "true", True),
        (Any, str(2**70), 2**70),
        (object, '{"a":[1]}', {"a": [1]}),
        (int | None, "null", None),
        (list[int], "[1]", [1]),
        (tuple[int, str], '[1,"a"]', (1, "a")),
        (set[int], "[1]", {1}),
        (dict[str, int], '{"a":1}', {"a": 1}),
        (bytes, '"a"', b"a"),
        (datetime, '"2026-01-31T12:00:00Z"', datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (date, '"2026-01-31"', date(2026, 1, 31)),
        (timedelta, '"PT5S"', timedelta(seconds=5)),
        (Decimal, '"1.10"', Decimal("1.10")),
        (UUID, '"00000000-0000-0000-0000-00000000000a"', UUID(int=10)),
        (Path, '"a/b"', Path("a/b")),
        (Colour, '"red"', Colour.RED),
        (Size, "1", Size.SMALL),
        (Literal["a"], '"a"', "a"),
        (Point, '{"x":1}', Point(1)),
        (
            Order,
            '{"id":1,"at":"2026-01-31T12:00:00Z"}',
            Order(id=1, at=datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ),
        (Annotated[int, Field(ge=5)], "5", 5),
    ],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_what_json_says_in_a_types_own_words_is_taken(
    annotation: object, json_text: str, value: object
) -> None:
    def takes(value) -> None: ...  # type: ignore[no-untyped-def]

    takes.__annotations__["value"] = annotation
    found = arguments(takes, f'{{"value":{json_text}}}')["value"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "json_text"),
    [
        (int, '"5"'),
        (int, "5.0"),
        (int, "true"),
        (int, "null"),
        (float, '"5"'),
        (float, '"NaN"'),
        (bool, "1"),
        (str, "5"),
        (list[int], '{"a":1}'),
        (list[int], '["1"]'),
        (datetime, "1700000000"),
        (date, '"2026-01-31T12:00:01Z"'),
        (Colour, '"blue"'),
        (Point, '{"x":"1"}'),
        (Order, '{"id":"1","at":"2026-01-31T12:00:00Z"}'),
        (Annotated[int, Field(ge=5)], "4"),
        (Fussy, '{"n":1}'),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_nothing_is_coerced(annotation: object, json_text: str) -> None:
    def takes(value) -> None: ...  # type: ignore[no-untyped-def]

    takes.__annotations__["value"] = annotation
    loc, message = refusal(takes, f'{{"value":{json_text}}}').errors[0]
    assert loc[0] == "payload"
    assert message


def test_everything_wrong_is_named() -> None:
    error = refusal(resize, '{"width":"5","colour":1}')
    places = {loc for loc, _ in error.errors}
    assert places == {("payload", "path"), ("payload", "width"), ("payload", "colour")}
    assert "payload.path" in error.detail


def test_a_flood_of_wrong_values_is_one_error() -> None:
    def takes(values: list[int]) -> None: ...

    error = refusal(takes, '{"values":[' + ",".join(['""'] * 10_000) + "]}")
    assert len(error.errors) == 1
    assert "10000 values" in error.detail


def test_parameters_may_have_any_name() -> None:
    def takes(schema: int, model_config: int, _private: int, json: int, self: int, p0: int) -> None:
        pass

    names = ("schema", "model_config", "_private", "json", "self", "p0")
    payload = "{" + ",".join(f'"{name}":{index}' for index, name in enumerate(names)) + "}"
    assert arguments(takes, payload) == {name: index for index, name in enumerate(names)}
    assert tuple(Signature(takes, "test").schema["properties"]) == names


def test_the_schema_describes_the_payload() -> None:
    schema = Signature(resize, "resize").schema
    assert schema == {
        "title": "resize",
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "path": {"title": "Path", "type": "string"},
            "width": {"title": "Width", "type": "integer", "default": 800},
        },
    }


def test_a_type_of_the_return_is_never_resolved() -> None:
    def takes(n: int) -> Unknown: ...

    assert arguments(takes, '{"n":1}') == {"n": 1}


def positional(n: int, /) -> None: ...
def several(*numbers: int) -> None: ...
def anything(**fields: int) -> None: ...
def two_contexts(a: Context, b: Context) -> None: ...
def unresolved(value: Unknown) -> None: ...
def a_field(value: int = Field(5)) -> None: ...
def a_function(value: Callable[[], int]) -> None: ...
def a_context_or_none(value: Context | None) -> None: ...


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (positional, "'n' is positional-only"),
        (several, "'numbers' collects positions"),
        (anything, "'fields' would take any field"),
        (two_contexts, "more than one Context: a, b"),
        (unresolved, "annotation of its parameter 'value' cannot be resolved: NameError"),
        (a_field, "'value' has a Field as default"),
        (a_function, "'value' is annotated with something that JSON cannot supply"),
        (a_context_or_none, "'value' is annotated with something that JSON cannot supply"),
    ],
)
def test_what_json_cannot_supply_is_refused_by_name(
    handler: Callable[..., object], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Signature(handler, "test")

"""The payload of a handler, derived from its own signature.

A parameter annotated `Context` is injected; every other one is a field of the payload. Payloads
are validated as JSON text, strictly, at submit and again before the run: `"5"` is no integer,
an unknown field is refused, and a date is accepted where a date is annotated. Defaults stay
Python's own: what the payload leaves out is not passed.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind
from pydantic_core import SchemaValidator, core_schema

from orpheus.errors import ConfigurationError, InvalidRequest
from orpheus.handlers.context import Context

_MAX_ERRORS = 20
_MAX_MESSAGE = 200

_UNSUPPORTED = {
    inspect.Parameter.POSITIONAL_ONLY: (
        "is positional-only, but a payload names its fields; remove the /"
    ),
    inspect.Parameter.VAR_POSITIONAL: (
        "collects positions, but a payload names its fields; take one list instead"
    ),
    inspect.Parameter.VAR_KEYWORD: (
        "would take any field, misspelt ones too; take one dict parameter instead"
    ),
}


class Signature:
    """What a handler takes: validates payloads and makes the call's arguments."""

    def __init__(self, handler: Callable[..., object], type_name: str) -> None:
        """Raises ConfigurationError, naming the parameter, for what JSON cannot supply."""
        parameters, self._context = _parameters(handler)
        # Generic attribute names behind aliases: a parameter may be called `schema` or `_x`.
        self._names = {f"p{index}": parameter.name for index, parameter in enumerate(parameters)}
        self.model = _model(type_name, self._names, parameters)
        self.schema = _schema(self.model)
        self._validate_json = self.model.__pydantic_validator__.validate_json

    def arguments(self, payload: str, context: Context | None = None) -> dict[str, object]:
        """Keyword arguments for the handler from a payload's JSON text.

        Raises InvalidRequest (invalid_payload) with the places that are wrong.
        """
        values = self.validated(payload)
        given = values.model_fields_set
        arguments = {
            name: getattr(values, attribute)
            for attribute, name in self._names.items()
            if attribute in given
        }
        if self._context is not None:
            arguments[self._context] = context
        return arguments

    def all_valid(self, payloads: Sequence[str]) -> bool:
        """Whether `validated` takes each of them. A no may be wrong, a yes never is."""
        try:
            self._validate_array(f"[{','.join(payloads)}]", strict=True)
        except Exception:
            # Whatever it is, `validated` tells it better, and of the right one.
            return False
        return True

    @cached_property
    def _validate_array(self) -> Callable[..., object]:
        schema: Any = self.model.__pydantic_core_schema__
        if schema["type"] == "model":
            # Its fields only: nobody needs the instances, and making them is a third of the work.
            config = schema["config"]
            schema = schema["schema"]
            return SchemaValidator(core_schema.list_schema(schema), config).validate_json
        return TypeAdapter(list[self.model]).validator.validate_json  # type: ignore[name-defined]

    def validated(self, payload: str) -> BaseModel:
        """The payload as its model. Raises InvalidRequest like `arguments`."""
        try:
            values: BaseModel = self._validate_json(payload, strict=True)
        except ValidationError as error:
            raise _refusal(error) from None
        except Exception as error:
            # A validator of the user's own types; the request must not fail with a 500 for it.
            message = f"its validation failed with {type(error).__name__}"
            raise InvalidRequest("invalid_payload", message, ((("payload",), message),)) from error
        return values


def _parameters(handler: Callable[..., object]) -> tuple[list[inspect.Parameter], str | None]:
    """The parameters that make the payload, annotations resolved, and the name of the context's."""
    payload: list[inspect.Parameter] = []
    contexts: list[str] = []
    for parameter in inspect.signature(handler).parameters.values():
        if parameter.kind in _UNSUPPORTED:
            raise ConfigurationError(
                f"its parameter {parameter.name!r} {_UNSUPPORTED[parameter.kind]}"
            )
        annotation = _annotation(handler, parameter)
        if annotation is Context:
            contexts.append(parameter.name)
        else:
            payload.append(parameter.replace(annotation=annotation))
    if len(contexts) > 1:
        raise ConfigurationError(f"it takes more than one Context: {', '.join(contexts)}")
    return payload, contexts[0] if contexts else None


def _annotation(handler: Callable[..., object], parameter: inspect.Parameter) -> object:
    """The type a parameter is annotated with, strings evaluated; Any without an annotation."""
    if parameter.annotation is inspect.Parameter.empty:
        return Any
    # One by one: the return type is of no interest and may be importable for type checkers only.
    holder = SimpleNamespace(__annotations__={"value": parameter.annotation})
    names = getattr(inspect.unwrap(handler), "__globals__", {})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["value"]
    except Exception as error:
        raise ConfigurationError(
            f"the annotation of its parameter {parameter.name!r} cannot be resolved: "
            f"{type(error).__name__}: {error}"
        ) from error


def _model(
    type_name: str, names: Mapping[str, str], parameters: list[inspect.Parameter]
) -> type[BaseModel]:
    definitions: dict[str, Any] = {}
    for (attribute, name), parameter in zip(names.items(), parameters, strict=True):
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        if isinstance(default, FieldInfo):
            # Python would pass the Field itself to a call that leaves the parameter out.
            raise ConfigurationError(
                f"its parameter {name!r} has a Field as default; "
                "write Annotated[type, Field(…)] and a plain default"
            )
        try:
            definition = (parameter.annotation, Field(default, alias=name))
            # Alone first, so that the message can name the parameter.
            create_model(type_name, p=definition).model_json_schema(
                schema_generator=_SchemaGenerator
            )
        except Exception as error:
            cause = next(iter(str(error).splitlines()), type(error).__name__)
            raise ConfigurationError(
                f"its parameter {name!r} is annotated with something that JSON cannot supply: "
                f"{cause}"
            ) from error
        definitions[attribute] = definition
    model: type[BaseModel] = create_model(
        type_name, __config__=ConfigDict(extra="forbid", strict=True), **definitions
    )
    return model


class _SchemaGenerator(GenerateJsonSchema):
    # A default that JSON cannot show is Python's business; the schema just leaves it out.
    ignored_warning_kinds: set[JsonSchemaWarningKind] = {  # noqa: RUF012  (declared so by pydantic)
        "skipped-choice",
        "non-serializable-default",
    }


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True, schema_generator=_SchemaGenerator)


def _refusal(error: ValidationError) -> InvalidRequest:
    count = error.error_count()
    if count > _MAX_ERRORS:
        # Listing them all costs more than the request did: a list may hold a wrong one each byte.
        message = f"{count} values do not fit the type"
        return InvalidRequest("invalid_payload", message, ((("payload",), message),))
    errors = tuple(
        (("payload", *map(_clipped, item["loc"])), item["msg"][:_MAX_MESSAGE])
        for item in error.errors(include_url=False, include_input=False, include_context=False)
    )
    (first_loc, first_message), *_ = errors
    place = ".".join(map(str, first_loc))
    return InvalidRequest("invalid_payload", f"{place}: {first_message}", errors)


def _clipped(part: int | str) -> int | str:
    return part if isinstance(part, int) else part[:100]

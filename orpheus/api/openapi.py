"""The parts of `/openapi.json` that FastAPI cannot see, as the routes read requests themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from orpheus.api.parameters import MAX_ID
from orpheus.api.problems import MEDIA_TYPE
from orpheus.api.schemas import BatchRequest, JobRequest, Problem
from orpheus.handlers.limits import NAME

_REFERENCE = "#/components/schemas/{model}"


def parameters(*names: str) -> dict[str, Any]:
    """`openapi_extra` for a route that takes these query parameters or headers."""
    return {"parameters": [_PARAMETERS[name] for name in names]}


def body(model: type[BaseModel], *names: str) -> dict[str, Any]:
    """`openapi_extra` for a route with a JSON body of `model`, and parameters."""
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        **parameters(*names),
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document, with problems as the answer to everything that fails."""
    openapi = app.openapi()
    schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
    for model in (JobRequest, BatchRequest, Problem):
        definition = model.model_json_schema(ref_template=_REFERENCE)
        schemas.update(definition.pop("$defs", {}))
        schemas[model.__name__] = definition
    problem = {
        "description": "What is wrong and what to do",
        "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCE.format(model="Problem")}}},
    }
    for path in openapi["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["default"] = problem
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path":
                    parameter["schema"] = _PATH_PARAMETERS[parameter["name"]]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    return openapi


def _query(name: str, schema: dict[str, Any], text: str) -> dict[str, Any]:
    return {"in": "query", "name": name, "required": False, "schema": schema, "description": text}


def _filter(name: str) -> dict[str, Any]:
    schema = {"type": "array", "items": {"type": "string"}}
    return _query(name, schema, "may be repeated: any of them") | {"explode": True}


# The routes take text and judge it themselves, to refuse it in their own words.
_PATH_PARAMETERS = {
    "id": {"type": "integer", "minimum": 0, "maximum": MAX_ID},
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
}

_PARAMETERS: dict[str, dict[str, Any]] = {
    "state": _filter("state"),
    "type": _filter("type"),
    "queue": _filter("queue"),
    "tag": _filter("tag"),
    "limit": _query("limit", {"type": "integer", "minimum": 1, "maximum": 200}, "rows a page"),
    "cursor": _query("cursor", {"type": "string"}, "next_cursor of the page before"),
    "order": _query("order", {"enum": ["desc", "asc"], "default": "desc"}, "by id"),
    "after": _query("after", {"type": "integer", "minimum": 0}, "lines after this seq"),
    "all": _query("all", {"enum": ["0", "1", "false", "true"]}, "the last 100 that ended, too"),
    "wait": _query(
        "wait",
        {"type": "number", "minimum": 0, "maximum": 60},
        "seconds to wait for the job to end before answering",
    ),
    "Idempotency-Key": {
        "in": "header",
        "name": "Idempotency-Key",
        "required": False,
        "schema": {"type": "string", "maxLength": 255},
        "description": "kept for 24 hours; a repeated request gets the same job",
    },
}

"""The job types this process knows. Built by `loader`, read by the API and the workers.

A registry is a value: nothing is registered globally, so two of them never meet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel

from orpheus.errors import ConfigurationError
from orpheus.handlers.declaration import Backoff
from orpheus.handlers.signature import Signature

Lane = Literal["sync", "async"]


@dataclass(frozen=True, slots=True)
class JobType:
    """One job type and its handler. None means that the settings decide.

    `timeout` and the backoff are in seconds, `source` is `module:line`.
    """

    name: str
    handler: Callable[..., Any]
    lane: Lane
    doc: str
    queue: str
    timeout: float | None
    max_retries: int | None
    max_crashes: int | None
    backoff: Backoff | None
    signature: Signature
    source: str

    @property
    def payload_model(self) -> type[BaseModel]:
        """The pydantic model of the payload."""
        return self.signature.model

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema of the payload."""
        return self.signature.schema


class Registry:
    """Job types by name."""

    def __init__(self) -> None:
        self._types: dict[str, JobType] = {}

    def register(self, job_type: JobType) -> None:
        """Add a type. Raises ConfigurationError, naming both places, if the name is taken."""
        other = self._types.setdefault(job_type.name, job_type)
        if other is not job_type:
            raise ConfigurationError(
                f"job type {job_type.name!r} is registered twice: "
                f"at {other.source} and at {job_type.source}; rename one"
            )

    def get(self, name: str) -> JobType | None:
        """The type of that name, or None."""
        return self._types.get(name)

    def names(self) -> tuple[str, ...]:
        """All names, sorted."""
        return tuple(sorted(self._types))

    def __iter__(self) -> Iterator[JobType]:
        return (self._types[name] for name in self.names())

    def __len__(self) -> int:
        return len(self._types)

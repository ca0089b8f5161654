"""The jobs page's view state, which lives in its address and nowhere else.

The views read it from a request, the templates ask it for the addresses of neighbouring views and
for the arguments of the live subscription that shows the same jobs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from orpheus.api.parameters import job_id


@dataclass(frozen=True, slots=True)
class JobsQuery:
    """Filters and position; empty means every job, newest first."""

    states: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    before: int | None = None
    limit: int = 50

    @classmethod
    def read(cls, params: QueryParams) -> JobsQuery:
        """A form sends its empty fields too, so blanks mean nothing. Raises InvalidRequest."""
        before = params.get("before", "")
        return cls(
            states=_names(params, "state"),
            types=_names(params, "type"),
            queues=_names(params, "queue"),
            tags=_names(params, "tag"),
            before=job_id(before) if before else None,
        )

    @property
    def filters(self) -> dict[str, tuple[str, ...]]:
        """The filters in use, by the contract's parameter names."""
        named = {"state": self.states, "type": self.types, "queue": self.queues, "tag": self.tags}
        return {name: values for name, values in named.items() if values}

    @property
    def url(self) -> str:
        """Address of this view."""
        pairs = [(name, value) for name, values in self.filters.items() for value in values]
        if self.before is not None:
            pairs.append(("before", str(self.before)))
        return f"/ui/jobs?{urlencode(pairs)}" if pairs else "/ui/jobs"

    @property
    def newest(self) -> JobsQuery:
        """The first page of the same filters."""
        return replace(self, before=None)

    def older(self, than: int) -> JobsQuery:
        """The page that follows."""
        return replace(self, before=than)

    def toggle_state(self, state: str) -> JobsQuery:
        """With the state filter pressed or, if it is, released."""
        kept = tuple(value for value in self.states if value != state)
        states = kept if len(kept) < len(self.states) else (*self.states, state)
        return replace(self, states=states, before=None)

    @property
    def chips(self) -> list[tuple[str, str, JobsQuery]]:
        """Each active filter with the view that lacks it."""
        return [
            (name, value, self._without(name, value))
            for name, values in self.filters.items()
            for value in values
        ]

    @property
    def live_args(self) -> dict[str, object] | None:
        """Arguments of the `jobs` topic; an older page is a moment's picture and has none."""
        if self.before is not None:
            return None
        return {**self.filters, "limit": self.limit}

    def _without(self, name: str, value: str) -> JobsQuery:
        kept = tuple(other for other in self.filters[name] if other != value)
        match name:
            case "state":
                changed = replace(self, states=kept)
            case "type":
                changed = replace(self, types=kept)
            case "queue":
                changed = replace(self, queues=kept)
            case _:
                changed = replace(self, tags=kept)
        return changed.newest


def _names(params: QueryParams, name: str) -> tuple[str, ...]:
    parts = (part.strip() for text in params.getlist(name) for part in text.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))

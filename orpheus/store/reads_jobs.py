"""How a page of jobs is found: from a filter to SQL that an index serves.

Pure text building, called by `store.reads`. A page comes from a *window* of ids: where an index (or
the open attempts, or the tags) lists exactly the wanted ids the window is as long as the page;
where it does not, the window is the next 10,000 candidates and the rest of the filter is applied to
those only. So no page costs more than that, however the filter and the table look. State names are
literals because partial indexes serve no bound parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from orpheus.domain.job import JobState
from orpheus.store.job_shape import ROW_COLUMNS

WINDOW = 10_000
Order = Literal["asc", "desc"]

_BY_STATE = {
    state: f"SELECT id FROM jobs WHERE state = '{state}' AND id {{compare}} :start"  # noqa: S608
    for state in (JobState.SCHEDULED, JobState.BLOCKED, JobState.FAILED, JobState.CANCELLED)
}
_BY_STATE[JobState.IN_PROGRESS] = (
    "SELECT job_id AS id FROM attempts WHERE outcome IS NULL AND job_id {compare} :start"
)
# The claim index is not in id order: worth reading whole only while it is short.
_FEW_PENDING = (
    "SELECT id FROM jobs INDEXED BY jobs_claim WHERE state = 'pending' AND id {compare} :start"
)
_BY_ID = "SELECT id FROM jobs WHERE id {compare} :start"


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Values within a name are alternatives; the names must all match."""

    states: tuple[JobState, ...] = ()
    types: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PageQuery:
    """The SQL of one page.

    `page` gives at most one row more than asked for. `edge` gives (`looked`, `last`): how many
    candidates the window held and the id of the last; None where the window holds only matches.
    """

    page: str
    edge: str | None
    parameters: dict[str, object]


def page_query(
    wanted: JobFilter, limit: int, after: int | None, order: Order, few_pending: bool
) -> PageQuery:
    """The SQL for the `limit` rows after the job `after` (None: from the start)."""
    descending = order == "desc"
    parameters: dict[str, object] = {
        "start": after if after is not None else (2**63 - 1 if descending else 0),
        "limit": limit + 1,
    }
    source, exact = _source(wanted, few_pending, parameters)
    rest = _rest(wanted, exact, parameters)
    direction = "DESC" if descending else "ASC"
    parameters["window"] = WINDOW if rest else limit + 1
    candidates = _union(source, "<" if descending else ">", direction, bool(wanted.tags))
    window = f"WITH page(id) AS ({candidates}) "
    condition = f"WHERE {' AND '.join(rest)} " if rest else ""
    # CROSS JOIN: the window drives, never a scan of jobs that probes the window.
    page = (
        f"{window}SELECT {ROW_COLUMNS} FROM page CROSS JOIN jobs ON jobs.id = page.id "  # noqa: S608
        f"{condition}ORDER BY jobs.id {direction} LIMIT :limit"
    )
    last = "min" if descending else "max"
    edge = f"{window}SELECT count(*) AS looked, {last}(id) AS last FROM page"  # noqa: S608
    return PageQuery(page, edge if rest else None, parameters)


def _source(
    wanted: JobFilter, few_pending: bool, parameters: dict[str, object]
) -> tuple[list[str], bool]:
    """The statements that list candidates, and whether they already apply the state filter."""
    if wanted.tags:
        names = _bind("tag", wanted.tags, parameters)
        return [
            f"SELECT job_id AS id FROM tags WHERE tag = {name} AND job_id {{compare}} :start"  # noqa: S608
            for name in names
        ], False
    served = dict(_BY_STATE)
    if few_pending:
        served[JobState.PENDING] = _FEW_PENDING
    if wanted.states and all(state in served for state in wanted.states):
        return [served[state] for state in dict.fromkeys(wanted.states)], True
    return [_BY_ID], False


def _rest(wanted: JobFilter, exact: bool, parameters: dict[str, object]) -> list[str]:
    """The conditions the source does not apply."""
    rest = []
    if wanted.states and not exact:
        states = ", ".join(f"'{state}'" for state in wanted.states)
        rest.append(f"jobs.state IN ({states})")
    if wanted.types:
        rest.append(f"jobs.type IN ({', '.join(_bind('type', wanted.types, parameters))})")
    if wanted.queues:
        rest.append(f"jobs.queue IN ({', '.join(_bind('queue', wanted.queues, parameters))})")
    return rest


def _union(source: Sequence[str], compare: str, direction: str, may_repeat: bool) -> str:
    tail = f"ORDER BY id {direction} LIMIT :window"
    members = [f"{statement.format(compare=compare)} {tail}" for statement in source]
    if len(members) == 1:
        return members[0]
    joint = " UNION " if may_repeat else " UNION ALL "
    return f"{joint.join(f'SELECT id FROM ({member})' for member in members)} {tail}"  # noqa: S608


def _bind(name: str, values: Sequence[str], parameters: dict[str, object]) -> list[str]:
    names = []
    for index, value in enumerate(values):
        parameters[f"{name}{index}"] = value
        names.append(f":{name}{index}")
    return names

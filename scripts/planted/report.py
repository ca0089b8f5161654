"""The table of planted bugs, and the record it is made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from planted.bug import Bug
from planted.catalogue import BUGS, EXCLUDED
from planted.trial import BROKEN, CAUGHT, SURVIVED, Verdict

Record = dict[str, dict[str, Any]]

_HEAD = """\
# Planted bugs

What proves that the tests would notice? Each line below is a defect that `scripts/mutants` put
into a copy of this checkout, one at a time, to run the tests that should turn red. The list has at
least one bug for each law and protocol of the design and for the decisions in `docs/adr/`.

```console
$ scripts/mutants              # all, one after the other
$ scripts/mutants --only ID    # one of them
$ scripts/mutants --control    # the same tests without any bug: all green
```

A bug that hangs its tests is caught by their time limit, and the table says so. Each bug's text
must occur exactly once in the source, which `tests/unit/test_planted_bugs.py` checks with every
run of the suite, so the catalogue fails loudly when the code moves on.
"""


def load(path: Path) -> Record:
    """What earlier runs found; empty where there was none."""
    try:
        record: Record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return record


def save(path: Path, record: Record) -> None:
    path.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def entry(verdict: Verdict, commit: str) -> dict[str, Any]:
    """One line of the record."""
    return {
        "verdict": verdict.verdict,
        "test": verdict.test,
        "seconds": verdict.seconds,
        "hung": verdict.hung,
        "commit": commit,
    }


def markdown(record: Record) -> str:
    """The whole page."""
    ran = {bug.id: record[bug.id] for bug in BUGS if bug.id in record}
    parts = [_HEAD, _summary(ran), _table(ran), _excluded()]
    return "\n".join(parts)


def _summary(ran: Record) -> str:
    def count(verdict: str) -> int:
        return sum(one["verdict"] == verdict for one in ran.values())

    seconds = sum(one["seconds"] for one in ran.values())
    commits = ", ".join(sorted({f"`{one['commit']}`" for one in ran.values()}))
    hung = sum(one["verdict"] == CAUGHT and one["hung"] for one in ran.values())
    return (
        f"**{len(BUGS)} bugs: {count(CAUGHT)} caught ({hung} of them by a time limit), "
        f"{count(SURVIVED)} survived, {len(BUGS) - len(ran)} not run"
        + (f", {count(BROKEN)} broken" if count(BROKEN) else "")
        + f".** {seconds / 60:.0f} minutes in all, commit {commits}"
        + (" (+: with files that were not committed yet)" if "+" in commits else "")
        + ".\n"
    )


def _table(ran: Record) -> str:
    lines = [
        "| breaks | bug | what goes wrong | caught by | s |",
        "| --- | --- | --- | --- | ---: |",
        *(_line(bug, ran.get(bug.id)) for bug in BUGS),
    ]
    return "\n".join(lines) + "\n"


def _line(bug: Bug, one: dict[str, Any] | None) -> str:
    if one is None:
        caught, seconds = "not run", ""
    else:
        seconds = f"{one['seconds']:.1f}"
        caught = {
            CAUGHT: f"`{_short(one['test'])}`" if one["test"] else "the time limit",
            SURVIVED: "**survived**",
        }.get(one["verdict"], f"**{one['test']}**")
        if one["verdict"] == CAUGHT and one["hung"] and one["test"]:
            caught += " (time limit)"
    return f"| {bug.breaks} | `{bug.id}` | {bug.what} | {caught} | {seconds} |"


def _short(test: str) -> str:
    """`store/test_claim.py::test_order` without the parameters."""
    return test.removeprefix("tests/").split("[")[0].replace("|", "\\|")


def _excluded() -> str:
    lines = [
        "## Not planted\n",
        "Known defects of other job systems for which this design has no place.\n",
        "| bug | why not |",
        "| --- | --- |",
        *(f"| {one.what} | {one.why} |" for one in EXCLUDED),
    ]
    return "\n".join(lines) + "\n"

"""`scripts/mutants`: plant each bug of the catalogue in a copy and see which test notices."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from planted import report
from planted.bug import Bug
from planted.catalogue import BUGS
from planted.trial import BROKEN, CAUGHT, SURVIVED, Trials, Verdict

_ROOT = Path(__file__).resolve().parents[2]


def main() -> int:
    """1 if a bug survived, or if the tests are red without any."""
    options = _options()
    if options.list:
        for bug in BUGS:
            print(f"{bug.id:34} {bug.breaks:18} {bug.what}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    commit = _git("rev-parse", "--short", options.commit)
    chosen = _chosen(options.only)
    trials = Trials(_ROOT, commit, options.also, options.timeout)
    try:
        if options.control:
            return _control(trials, chosen)
        return _run(trials, chosen, commit, options)
    finally:
        trials.close()


def _run(trials: Trials, chosen: Sequence[Bug], commit: str, options: argparse.Namespace) -> int:
    record = report.load(options.json) if options.json else {}
    if options.also:
        commit += "+"
    if options.missing:
        chosen = [bug for bug in chosen if record.get(bug.id, {}).get("verdict") != CAUGHT]
    escaped = []
    for bug, verdict in _tried(trials, chosen, options.jobs):
        record[bug.id] = report.entry(verdict, commit)
        print(_told(bug.id, verdict), flush=True)
        if verdict.verdict != CAUGHT:
            escaped.append(bug.id)
        if options.verbose or verdict.verdict == BROKEN:
            print(verdict.output[-3000:])
        if options.json:
            report.save(options.json, record)
    if options.output:
        options.output.write_text(report.markdown(record), encoding="utf-8")
    print(f"{len(chosen) - len(escaped)} of {len(chosen)} caught", *escaped)
    return 1 if escaped else 0


def _tried(trials: Trials, chosen: Sequence[Bug], jobs: int) -> Iterator[tuple[Bug, Verdict]]:
    with ThreadPoolExecutor(jobs) as pool:
        yield from zip(chosen, pool.map(trials.of, chosen), strict=True)


def _control(trials: Trials, chosen: Sequence[Bug]) -> int:
    red = 0
    for selection in _without_repetition(chosen):
        verdict = trials.control(selection)
        green = verdict.verdict == SURVIVED
        red += not green
        print(f"{'green' if green else 'RED':6} {verdict.seconds:6.1f} s  {shlex.join(selection)}")
        if not green:
            print(verdict.output[-3000:])
    return 1 if red else 0


def _without_repetition(chosen: Sequence[Bug]) -> Iterator[list[str]]:
    """Each file once, with all that any bug wants of it."""
    wanted: dict[str, set[str]] = {}
    for bug in chosen:
        *paths, expression = bug.selection if "-k" in bug.selection else [*bug.selection, ""]
        for path in paths:
            if path != "-k":
                wanted.setdefault(path, set()).add(expression)
    for path, expressions in sorted(wanted.items()):
        everything = "" in expressions
        yield [path] if everything else [
            path, "-k", " or ".join(f"({one})" for one in sorted(expressions))
        ]  # fmt: skip


def _told(name: str, verdict: Verdict) -> str:
    how = " (time limit)" if verdict.hung else ""
    return f"{verdict.verdict:8} {verdict.seconds:6.1f} s  {name:34} {verdict.test}{how}"


def _chosen(only: Sequence[str]) -> list[Bug]:
    wanted = {name for names in only for name in names.split(",")}
    unknown = wanted - {bug.id for bug in BUGS}
    if unknown:
        sys.exit(f"no such bug: {', '.join(sorted(unknown))} (see --list)")
    return [bug for bug in BUGS if not wanted or bug.id in wanted]


def _git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=_ROOT, stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("--list", action="store_true", help="show the catalogue and run nothing")
    parser.add_argument("--only", action="append", default=[], metavar="ID[,ID]")
    parser.add_argument("--control", action="store_true", help="the same tests without any bug")
    parser.add_argument("--jobs", type=int, default=1, help="how many at once; default 1")
    parser.add_argument("--timeout", type=float, default=120, help="seconds for one; default 120")
    parser.add_argument("--commit", default="HEAD", help="what to copy; default HEAD")
    parser.add_argument(
        "--also", type=Path, nargs="*", default=[], metavar="FILE",
        help="files of the working tree to put over it, from the checkout's folder",
    )  # fmt: skip
    parser.add_argument("--verbose", action="store_true", help="show what pytest said")
    parser.add_argument("--json", type=Path, metavar="FILE", help="add the results to this record")
    parser.add_argument(
        "--missing", action="store_true", help="only what the record does not say was caught"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the table")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

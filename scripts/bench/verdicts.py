"""What the figures are judged by, as ratios within the run: what must be, what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bench.figures import plain
from bench.results import Figure, Results


@dataclass(frozen=True)
class Verdict:
    """One line of the table of aims."""

    figure: str
    found: float
    unit: str
    must: float
    aim: float
    at_least: bool

    @property
    def word(self) -> str:
        """`aim`, `must` or `short`."""
        for bound, word in ((self.aim, "aim"), (self.must, "must")):
            if self.found >= bound if self.at_least else self.found <= bound:
                return word
        return "**short**"

    def cells(self) -> tuple[str, ...]:
        """For a table."""
        sign = "≥" if self.at_least else "≤"
        bounds = (f"{sign} {plain(bound)} {self.unit}" for bound in (self.must, self.aim))
        return (self.figure, f"{plain(self.found)} {self.unit}", *bounds, self.word)


def verdicts(results: Results) -> Iterator[Verdict]:
    """Those that this run can answer."""
    yield from _peers(results)
    yield from _limit(results)
    yield from _work(results)
    yield from _growth(results)


def _ratio(above: Figure | None, below: Figure | None) -> float | None:
    return above.value / below.value if above and below and below.value else None


def _line(
    figure: str, found: float | None, must: float, aim: float, unit: str, at_least: bool
) -> Iterator[Verdict]:
    if found is not None:
        yield Verdict(figure, found, unit, must, aim, at_least)


def _peers(results: Results) -> Iterator[Verdict]:
    ours = results.get("peers", "Orpheus", "drain")
    huey = results.get("peers", "huey (SQLite)", "drain")
    yield from _line("drain, of huey's", _ratio(ours, huey), 15, 20, "×", True)
    others = [figure for figure in results.of("peers") if figure.subject != "Orpheus"]
    for name, tuned in (("fastest peer at its defaults", False), ("fastest peer, tuned", True)):
        drains = [
            figure
            for figure in others
            if figure.name == "drain" and ("batch" in figure.subject) == tuned
        ]
        best = max(drains, key=lambda figure: figure.value, default=None)
        must = 1.0 if tuned else 2.0
        yield from _line(f"drain, of the {name}'s", _ratio(ours, best), must, must, "×", True)
    for share in ("p50", "p99"):
        mine = results.get("peers", "Orpheus", share)
        theirs = [figure for figure in others if figure.name == share]
        best = min(theirs, key=lambda figure: figure.value, default=None)
        figure = f"submit→start {share}, of the quickest peer's"
        yield from _line(figure, _ratio(mine, best), 1, 1, "×", False)


def _limit(results: Results) -> Iterator[Verdict]:
    bare = results.get("limit", "bare loop, 2 processes, batch 256", "drain, full")
    real = results.get("limit", "orpheus worker × 2", "drain")
    yield from _line("drain, of the limit at batch 256", _ratio(real, bare), 0.6, 0.8, "×", True)


def _work(results: Results) -> Iterator[Verdict]:
    for share in ("p50", "p99"):
        found = _ratio(
            results.get("latency", "Orpheus over HTTP", share),
            results.get("latency", "paced floor", share),
        )
        yield from _line(f"submit→start {share}, of the paced floor", found, 1.3, 1.3, "×", False)
    found = _ratio(
        results.get("http", "POST /jobs of Orpheus", "requests"),
        results.get("http", "bare FastAPI route, same body model", "requests"),
    )
    yield from _line("POST /jobs, of a bare route", found, 0.6, 0.8, "×", True)
    bare = results.get("bulk", "bare INSERT … SELECT FROM json_each", "insert")
    for start, must, aim in (
        ("POST /jobs/batch", 0.25, 0.5),
        ("DirectClient.submit_many", 0.5, 0.8),
    ):
        one = next((f for f in results.of("bulk") if f.subject.startswith(start)), None)
        yield from _line(f"{start}, of the bare insert", _ratio(one, bare), must, aim, "×", True)
    for figure in results.of("idle"):
        if figure.subject.startswith("whole") and figure.name == "CPU":
            yield Verdict("idle tree, CPU", figure.value, "s per 10 s", 0.15, 0.05, False)
        if figure.name == "RSS, largest":
            yield Verdict("idle, largest process", figure.value, "MB", 70, 50, False)
    for figure in results.of("mixed"):
        if figure.name == "gate hold p99":
            yield Verdict("gate hold p99, 16 MiB batches", figure.value, "ms", 50, 50, False)
    for figure in results.of("wal"):
        if figure.name == "largest WAL":
            yield Verdict("largest WAL", figure.value, "MB", 64, 32, False)
    for figure in results.of("gate"):
        if figure.name == "shares apart" and "turnstile" in figure.subject:
            yield Verdict("shares of nine writers, apart", figure.value, "×", 1.2, 1.2, False)
    for figure in results.of("feed"):
        if figure.name == "lag p99":
            yield Verdict(f"feed lag p99, {figure.subject}", figure.value, "ms", 250, 250, False)
    for figure in results.of("wake"):
        if figure.name == "latest":
            yield Verdict("delayed jobs, latest start", figure.value, "ms", 20, 20, False)


def _growth(results: Results) -> Iterator[Verdict]:
    figures = [f for f in results.of("growth") if f.subject.endswith("finished")]
    for name in dict.fromkeys(figure.name for figure in figures if figure.name != "file"):
        ordered = [figure for figure in figures if figure.name == name]
        if len(ordered) < 2:
            continue
        rate = ordered[0].unit == "jobs/s"
        first, last = ordered[0], ordered[-1]
        found = _ratio(first, last) if rate else _ratio(last, first)
        title = f"{name}: {last.subject}, against {first.subject}"
        yield from _line(title, found, 1.5, 1.2, "× slower", False)

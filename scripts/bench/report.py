"""The Markdown of a run: the machine, the aims, then every figure by part."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bench.figures import plain, with_spread
from bench.results import Results
from bench.verdicts import verdicts

TITLES = {
    "limit": "The limit: the store's own statements in a bare loop",
    "drain": "Drain of a preloaded queue",
    "peers": "Peers",
    "latency": "Submit to start, 20 a second, idle pool",
    "http": "POST /jobs on 50 connections",
    "bulk": "Many jobs at once",
    "mixed": "Mixed load",
    "idle": "Idle",
    "gate": "Nine writers at one gate",
    "wal": "The write-ahead log",
    "wake": "Wake-ups",
    "feed": "The feed",
    "growth": "Growth",
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column left, the others right."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    cells = ([cell.replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows)
    lines += [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join(lines)


def markdown(results: Results) -> str:
    """All of it."""
    parts = ["# Benchmarks", _introduction(results)]
    judged = [verdict.cells() for verdict in verdicts(results)]
    if judged:
        head = ("figure", "found", "must", "aim", "reached")
        parts += ["## Against the aims", table(head, judged)]
    for part, title in TITLES.items():
        if results.of(part):
            parts += [f"## {title}", section(results, part), *_notes(results, part)]
    if results.missing:
        rows = [(one.part, one.subject, one.reason) for one in results.missing]
        parts += ["## Not measured", table(("part", "what", "why"), rows)]
    return "\n\n".join(parts) + "\n"


def section(results: Results, part: str) -> str:
    """A part's figures: a row a subject, a column a figure."""
    figures = results.of(part)
    units: dict[str, str] = {}
    for figure in figures:
        units.setdefault(figure.name, figure.unit)
    rows = []
    for subject in dict.fromkeys(figure.subject for figure in figures):
        cells = []
        for name in units:
            figure_of = results.get(part, subject, name)
            cells.append(with_spread(figure_of.samples) if figure_of else "–")
        rows.append((subject, *cells))
    return table((" ", *(f"{name} ({unit})" for name, unit in units.items())), rows)


def peers_table(results: Results) -> str:
    """The README's: drain and latency, fastest first, durability stated."""
    subjects = [figure for figure in results.of("peers") if figure.name == "drain"]
    rows = []
    for drain in sorted(subjects, key=lambda figure: -figure.value):
        waits = [results.get("peers", drain.subject, share) for share in ("p50", "p99")]
        name = f"**{drain.subject}**" if drain.subject == "Orpheus" else drain.subject
        cells = [plain(wait.value) if wait else "–" for wait in waits]
        rows.append((name, plain(drain.value), " / ".join(cells), drain.note))
    head = ("queue", "drain, jobs/s", "submit→start p50 / p99, ms", "durability, settings")
    return table(head, rows)


def machine_line(results: Results) -> str:
    """One line."""
    return " · ".join(f"{name} {value}" for name, value in results.machine.items())


def _introduction(results: Results) -> str:
    seconds = sum(results.seconds.values())
    return (
        f"Made by `scripts/bench/run`. {machine_line(results)}.\n\n"
        "Only ratios within one run count: machines differ by a factor of two from hour to hour. "
        "Figures are medians over the rounds, ± half of (largest - smallest) / median; those "
        f"without ± were measured once. The run took {seconds:.0f} s."
    )


def _notes(results: Results, part: str) -> list[str]:
    notes: dict[str, list[str]] = {}
    for figure in results.of(part):
        if figure.note and figure.subject not in notes.setdefault(figure.note, []):
            notes[figure.note].append(figure.subject)
    lines = [f"- {', '.join(subjects)}: {note}" for note, subjects in notes.items()]
    return ["\n".join(lines)] if lines else []

"""Writes a run into the checkout: docs/benchmarks.md, the chart, and the README between markers."""

from __future__ import annotations

from pathlib import Path

from bench import chart, report
from bench.results import Results

BEGIN = "<!-- bench:begin (filled by scripts/bench/run --publish) -->"
END = "<!-- bench:end -->"
_CHART = Path("docs") / "benchmarks.svg"


def between_markers(text: str, content: str) -> str:
    """`text` with what is between the markers replaced; ValueError where they are not."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the markers of the benchmark are missing")
    return f"{before}{BEGIN}\n\n{content.strip()}\n\n{END}{after}"


def peers_chart(results: Results) -> str:
    """The drain of Orpheus and its peers."""
    rows = [(f.subject, f.value) for f in results.of("peers") if f.name == "drain"]
    return chart.bars("Near-empty jobs a second, 2 worker processes", rows, "Orpheus")


def readme_section(results: Results) -> str:
    """Chart, table, machine."""
    return "\n\n".join(
        (
            f"![Jobs a second, Orpheus and others]({_CHART.as_posix()})",
            report.peers_table(results),
            f"{report.machine_line(results)}. Everything, also where we lose: "
            "[docs/benchmarks.md](docs/benchmarks.md).",
        )
    )


def publish(results: Results, root: Path) -> None:
    """Into docs/ always; into the README if the peers were measured."""
    (root / "docs" / "benchmarks.md").write_text(report.markdown(results), encoding="utf-8")
    if results.of("peers"):
        (root / _CHART).write_text(peers_chart(results), encoding="utf-8")
        readme = root / "README.md"
        text = readme.read_text(encoding="utf-8")
        filled = between_markers(text, readme_section(results))
        readme.write_text(filled, encoding="utf-8")

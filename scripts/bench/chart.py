"""A bar chart as SVG: plain shapes and text, light and dark by the viewer's own setting."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.figures import plain

_WIDTH = 760
_LEFT = 250
_RIGHT = 90
_BAR = 18
_STEP = 26
_TOP = 46
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 14px }
.quiet { fill: #57606a }
.bar { fill: #8c959f }
.ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .quiet { fill: #8b949e }
  .bar { fill: #6e7681 }
  .ours { fill: #4493f8 }
}
"""


def bars(title: str, rows: Sequence[tuple[str, float]], ours: str) -> str:
    """One bar a row, the longest first; `ours` is the name that stands out."""
    ordered = sorted(rows, key=lambda row: -row[1])
    most = max((value for _, value in ordered), default=1.0) or 1.0
    height = _TOP + _STEP * len(ordered) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">',
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="0" y="20">{escape(title)}</text>',
    ]
    for index, (name, value) in enumerate(ordered):
        y = _TOP + _STEP * index
        length = max(1.0, (_WIDTH - _LEFT - _RIGHT) * value / most)
        kind = "bar ours" if name == ours else "bar"
        parts += [
            f'<text x="{_LEFT - 10}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" '
            'rx="2"/>',
            f'<text class="quiet" x="{_LEFT + length + 8:.1f}" y="{y + 14}">{plain(value)}</text>',
        ]
    return "\n".join([*parts, "</svg>"]) + "\n"

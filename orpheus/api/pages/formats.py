"""How the pages write times, durations and numbers.

The templates use these as filters for the first paint. `static/js/ui/format.js` holds the same
rules for live updates; a browser test compares the two. Times come in as the contract's RFC 3339
text, `now` as microseconds since the epoch.
"""

from __future__ import annotations

from datetime import datetime

from orpheus.clock import from_datetime

_SECOND = 1_000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR


def milliseconds(moment: str) -> int:
    """Milliseconds since the epoch, rounded down as the browser's `Date.parse` does."""
    return from_datetime(datetime.fromisoformat(moment)) // 1_000


def relative(moment: str, now: int) -> str:
    """`4 s ago`, `now`, `in 3 min`."""
    distance = now // 1_000 - milliseconds(moment)
    if abs(distance) < _SECOND:
        return "now"
    amount = _coarse(abs(distance))
    return f"{amount} ago" if distance > 0 else f"in {amount}"


def elapsed(moment: str, now: int) -> str:
    """Whole seconds and up since a moment, for what is still running."""
    distance = max(0, now // 1_000 - milliseconds(moment))
    return f"{distance // _SECOND} s" if distance < _MINUTE else _fine(distance)


def duration(start: str, end: str) -> str:
    """`<1 ms`, `12 ms`, `3.41 s`, `3 m 12 s`."""
    return _fine(max(0, milliseconds(end) - milliseconds(start)))


def seconds(amount: float) -> str:
    """A duration the API gives in seconds."""
    return _fine(max(0, int(amount * 1_000)))


def absolute(moment: str) -> str:
    """`2026-01-31 12:00:00.123456 UTC`."""
    return moment.replace("T", " ").replace("Z", " UTC")


def number(value: int) -> str:
    """`1,234,567`."""
    return f"{value:,}"


def percent(value: float) -> str:
    """`41 %` of a share between 0 and 1, rounded down: 100 % means finished."""
    return f"{int(value * 100)} %"


def _coarse(span: int) -> str:
    if span < _MINUTE:
        return f"{span // _SECOND} s"
    if span < _HOUR:
        return f"{span // _MINUTE} min"
    if span < _DAY:
        return f"{span // _HOUR} h"
    return f"{span // _DAY} d"


def _fine(span: int) -> str:
    if span < 1:
        return "<1 ms"
    if span < _SECOND:
        return f"{span} ms"
    if span < _MINUTE:
        hundredths = span // 10
        return f"{hundredths // 100}.{hundredths % 100:02d} s"
    if span < _HOUR:
        return f"{span // _MINUTE} m {span % _MINUTE // _SECOND} s"
    if span < _DAY:
        return f"{span // _HOUR} h {span % _HOUR // _MINUTE} m"
    return f"{span // _DAY} d {span % _DAY // _HOUR} h"


FILTERS = {
    "relative": relative,
    "elapsed": elapsed,
    "duration": duration,
    "seconds": seconds,
    "absolute": absolute,
    "number": number,
    "percent": percent,
}

"""What a campaign has shown: totals, figures against their limits, a line for each problem."""

from __future__ import annotations

import time
from collections import Counter
from statistics import median

from tests.chaos.times import API, MASTER, WORKER, Times
from tests.chaos.wave import Verdict

# Seconds: median, most. What other blows hindered has none.
LIMITS: dict[str, tuple[float | None, float]] = {
    WORKER: (0.1, 1.0),
    MASTER: (None, 5.0),
    API: (None, 5.0),
}


class Report:
    """Adds up verdicts; prints as it goes."""

    def __init__(self, seed: int, kills: int, stops: int, pause: float) -> None:
        self._command = (
            f"scripts/chaos --kills {kills} --stops {stops} --pause {pause:g} --seed {seed}"
        )
        self._begun = time.monotonic()
        self._blows: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._times = Times()
        self._lines: list[str] = []
        self._inconclusive = 0

    def command(self) -> str:
        """What repeats the whole campaign."""
        return self._command

    def add(self, number: int, verdict: Verdict, kept: str) -> None:
        """`kept`: the folder of a wave that failed."""
        self._blows += verdict.blows
        self._counts += verdict.counts
        self._times.merge(verdict.times)
        again = f"wave {number} ({self._command} --wave {number})"
        found = [f"{again}: {problem}" for problem in verdict.problems]
        if verdict.inconclusive:
            self._inconclusive += 1
            found.append(f"{again}: INCONCLUSIVE: {verdict.inconclusive}")
        self._lines += found
        jobs = verdict.counts["jobs"]
        print(f"  {jobs} jobs, {len(found)} problems{f', see {kept}' if kept else ''}", flush=True)
        for line in found:
            print(f"  {line}", flush=True)

    def finish(self) -> int:
        """Print everything; the exit code."""
        kills = sum(n for what, n in self._blows.items() if what.startswith("kill"))
        stops = sum(n for what, n in self._blows.items() if what.startswith("stop"))
        print(f"{kills} kills, {stops} stops in {time.monotonic() - self._begun:.0f} s")
        for totals in (self._blows, self._counts):
            print(", ".join(f"{what}: {n}" for what, n in sorted(totals.items())))
        for what, seconds in sorted(self._times.seconds.items()):
            print(_figures(what, seconds))
        broken = [*self._lines, *too_slow(self._times)]
        for line in broken:
            print(line)
        if self._inconclusive:
            print(f"{self._inconclusive} waves were inconclusive")
        print(f"{len(broken)} problems" if broken else "nothing lost, twice, wrong or out of order")
        return 1 if broken else 0


def too_slow(times: Times) -> list[str]:
    """The figures beyond their limits."""
    found = []
    for what, (middle, most) in LIMITS.items():
        seconds = times.seconds.get(what)
        if not seconds:
            continue
        if middle is not None and median(seconds) > middle:
            found.append(f"{what}: p50 {median(seconds):.3f} s, allowed {middle:g} s")
        if max(seconds) > most:
            found.append(f"{what}: max {max(seconds):.3f} s, allowed {most:g} s")
    return found


def _figures(what: str, seconds: list[float]) -> str:
    p50, most = 1000 * median(seconds), 1000 * max(seconds)
    return f"{what}: {len(seconds)} times, p50 {p50:.0f} ms, max {most:.0f} ms"

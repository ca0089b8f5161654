"""`scripts/soak --minutes 30`: does anything grow under a mixed load that does not end?

Looks at every process each few seconds while everything users do goes on, and puts a line through
each figure. Ends with 1 where something grows, an answer was 500 or more, or a job did not end.
"""

from __future__ import annotations

import argparse
import contextlib
import sqlite3
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tests.soak.figures import look
from tests.soak.load import Load
from tests.soak.slopes import Slope, slope, table
from tests.support.system import System
from tests.support.waiting import eventually

_EVERY = 5.0
# Jobs and events are pruned while the load goes on, as after a week of it.
_KEPT_DAYS = 4 / 24 / 60
_KEPT_EVENTS = 100_000


def soak(folder: Path, seconds: float, every: float = _EVERY) -> tuple[list[Slope], list[str]]:
    """Load a system for so long; the slopes, and everything else that is wrong."""
    samples: dict[str, list[tuple[float, float]]] = defaultdict(list)
    environment = {
        "KEEP_DONE_DAYS": f"{_KEPT_DAYS:.6f}",
        "KEEP_FAILED_DAYS": f"{_KEPT_DAYS:.6f}",
        "KEEP_EVENTS": str(_KEPT_EVENTS),
        "LOG_LEVEL": "error",
    }
    with System(folder, environment) as system:
        with Load(system) as load:
            begun = time.monotonic()
            while (now := time.monotonic() - begun) < seconds:
                for name, value in look(system).items():
                    samples[name].append((now, value))
                time.sleep(min(every, max(0.0, seconds - now)))
        with system.client() as client:
            eventually(lambda: _at_rest(client.stats()["jobs"]), timeout=120)
        wrong = [*load.failures, *_bad_answers(load), *_not_right(system)]
    print(f"answers by status: {dict(sorted(load.statuses.items()))}")
    return [slope(name, found) for name, found in sorted(samples.items())], wrong


def _at_rest(counts: dict[str, int]) -> bool:
    return not any(counts[state] for state in ("pending", "scheduled", "in_progress"))


def _bad_answers(load: Load) -> list[str]:
    return [f"{n} answers of {status}" for status, n in load.statuses.items() if status >= 500]


def _not_right(system: System) -> list[str]:
    uri = f"file:{system.data_dir / 'orpheus.db'}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:

        def rows(sql: str) -> list[tuple[object, ...]]:
            return connection.execute(sql).fetchall()

        found = [f"integrity: {row}" for row in rows("PRAGMA integrity_check") if row != ("ok",)]
        counted = "SELECT queue, type, state, count(*) FROM jobs GROUP BY 1, 2, 3"
        if set(rows("SELECT queue, type, state, n FROM counters WHERE n > 0")) != set(
            rows(counted)
        ):
            found.append("the counters differ from a recount")
        (ended,) = rows("SELECT coalesce(max(id), 0) FROM jobs WHERE finished_at IS NOT NULL")[0]
        print(f"{ended} jobs")
    return found


def main() -> int:
    """Exit 1 if anything grows or is wrong."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="how long (30)")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="orpheus-soak-") as folder:
        slopes, wrong = soak(Path(folder), wanted.minutes * 60)
    print(table(slopes))
    for line in wrong:
        print(line)
    growing = [one.name for one in slopes if not one.flat]
    print(f"grows: {', '.join(growing)}" if growing else "nothing grows")
    return 1 if growing or wrong else 0


if __name__ == "__main__":
    sys.exit(main())

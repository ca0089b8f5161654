"""`scripts/chaos --kills 1000 --stops 100`: the attack of `test_kills` for as long as one likes.

In waves, each with a system and a data folder of its own, so that a failure names a small seed to
repeat. A wave that did not drain counts as failed: it proves nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from statistics import median

import pytest

from tests.chaos.test_kills import BLOWS, STOPS, attack

_JOBS = 1000
_KILLS = 40


def main() -> int:
    """Exit 1 if any wave broke a promise or did not drain."""
    wanted = _arguments()
    print(f"seed {wanted.seed}", flush=True)
    rng = Random(wanted.seed)
    kills, stops = wanted.kills, wanted.stops
    waves = max(1, -(-wanted.kills // _KILLS))
    made: Counter[str] = Counter()
    recoveries: list[float] = []
    jobs = crashed = 0
    broken: list[str] = []
    begun = time.monotonic()
    for wave in range(waves):
        blows = _blows(rng, min(_KILLS, kills), -(-stops // (waves - wave)))
        kills -= min(_KILLS, kills)
        stops -= sum(blow.startswith("stop") for blow in blows)
        seed = rng.randrange(1 << 32)
        with tempfile.TemporaryDirectory(prefix="orpheus-chaos-") as folder:
            try:
                chaos, history, acknowledged = attack(
                    Path(folder), _JOBS, blows, seed, pause=wanted.pause
                )
            except pytest.fail.Exception as failure:
                broken.append(f"wave {wave + 1}, seed {seed}: {failure}")
                continue
            found = history.problems(acknowledged, chaos.kills)
        broken += [f"wave {wave + 1}, seed {seed}: {problem}" for problem in found]
        made += Counter(kill.what for kill in chaos.kills)
        recoveries += history.recoveries(chaos.kills)
        jobs += len(acknowledged)
        crashed += sum(attempt["outcome"] == "crashed" for attempt in history.attempts)
        print(f"wave {wave + 1} of {waves}: {len(found)} problems", flush=True)
    print(f"{jobs} jobs, {crashed} attempts crashed, in {time.monotonic() - begun:.0f} s")
    print(", ".join(f"{what}: {n}" for what, n in sorted(made.items())))
    if recoveries:
        at_most = 1000 * max(recoveries)
        p50 = 1000 * median(recoveries)
        print(f"{len(recoveries)} recoveries of a worker: p50 {p50:.0f} ms, max {at_most:.0f} ms")
    for line in broken:
        print(line)
    print("nothing lost, twice, wrong or out of order" if not broken else f"{len(broken)} problems")
    return 1 if broken else 0


def _blows(rng: Random, kills: int, stops: int) -> list[str]:
    """Half of the kills hit a worker, the rest anything."""
    blows = ["kill worker" if rng.random() < 0.5 else rng.choice(BLOWS) for _ in range(kills)]
    blows += [rng.choice(STOPS) for _ in range(stops)]
    rng.shuffle(blows)
    return blows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs in all (200)")
    parser.add_argument("--stops", type=int, default=10, help="SIGSTOPs in all (10)")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between blows (0.3)")
    parser.add_argument(
        "--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="to repeat a run"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

"""`scripts/chaos --kills 1000 --stops 100`: attacks Orpheus for as long as one likes.

In waves, each with a system and a data folder of its own, so that a failure names a wave to
repeat. Every fifth runs under a real supervisord, which then starts again what was killed. A wave
that did not come to rest is inconclusive: it proves nothing and never passes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from random import Random

from tests.chaos.blows import Planned, schedule
from tests.chaos.report import Report
from tests.chaos.wave import Verdict, run_wave

_KILLS = 44
_SUPERVISED_EVERY = 5


def main() -> int:
    """Exit 1 if a wave broke a promise, came to no rest or was too slow."""
    wanted = _arguments()
    waves = _waves(wanted)
    report = Report(wanted.seed, wanted.kills, wanted.stops, wanted.pause)
    print(report.command(), flush=True)
    for number in [wanted.wave] if wanted.wave else range(1, waves + 1):
        seed = Random(f"{wanted.seed}/{number}").randrange(1 << 32)
        supervised = number % _SUPERVISED_EVERY == 0
        kills, stops = share(wanted.kills, waves, number), share(wanted.stops, waves, number)
        plan = schedule(Random(seed), kills, stops, wanted.pause, supervised)
        print(f"wave {number} of {waves}{', supervised' * supervised}, seed {seed}:", flush=True)
        print("  " + ", ".join(map(str, plan)), flush=True)
        report.add(number, *_run(plan, seed, supervised))
    return report.finish()


def _run(plan: list[Planned], seed: int, supervised: bool) -> tuple[Verdict, str]:
    """The verdict, and the folder if there is something to look at in it."""
    folder = Path(tempfile.mkdtemp(prefix="orpheus-chaos-"))
    try:
        verdict = run_wave(folder, plan, seed, supervised)
    except Exception as error:
        verdict = Verdict(inconclusive=f"{type(error).__name__}: {error}")
    if verdict.problems or verdict.inconclusive:
        return verdict, str(folder)
    shutil.rmtree(folder)
    return verdict, ""


def _waves(wanted: argparse.Namespace) -> int:
    kills: int = wanted.kills
    return max(1, -(-kills // _KILLS))


def share(total: int, waves: int, number: int) -> int:
    """What falls on wave `number`, as evenly as can be."""
    return total * number // waves - total * (number - 1) // waves


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs in all (200)")
    parser.add_argument("--stops", type=int, default=20, help="SIGSTOPs in all (20)")
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between blows (0.3)")
    parser.add_argument("--wave", type=int, help="only this wave of the run that is repeated")
    parser.add_argument(
        "--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="to repeat a run"
    )
    wanted = parser.parse_args()
    if wanted.wave is not None and not 1 <= wanted.wave <= _waves(wanted):
        parser.error(f"there are waves 1 to {_waves(wanted)}")
    return wanted


if __name__ == "__main__":
    sys.exit(main())

"""`scripts/bench/run`: measure, then write Markdown, JSON and a chart into a folder."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import report
from bench.machine import describe
from bench.parts.peers import ADAPTERS
from bench.publish import peers_chart, publish
from bench.results import Results
from bench.run_state import Run
from orpheus import log

_ROOT = Path(__file__).resolve().parents[2]
GROUPS = {
    "limit": ("limit", "drain"),
    "peers": ("peers",),
    "work": ("latency", "http", "bulk", "mixed", "idle", "gate", "wal", "wake", "feed"),
    "growth": ("growth",),
}
PARTS = tuple(part for parts in GROUPS.values() for part in parts)


def main() -> int:
    """0 when every part that was asked for ran to its end."""
    options = _options()
    # What was started is ended on the way out, also when somebody ends us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    log.configure("bench", "text", "error")
    scratch = Path(tempfile.mkdtemp(prefix="orpheus-bench-", dir=options.scratch))
    # Peers' servers run as users of their own and must get through.
    scratch.chmod(0o711)
    run = Run(
        scratch,
        options.rounds or (1 if options.quick else 3),
        options.quick,
        options.scale or (0.5 if options.quick else 1.0),
        options.five_million,
        tuple(options.peers.split(",")) if options.peers else (),
    )
    run.results.machine = describe(scratch)
    run.say(report.machine_line(run.results))
    failed = False
    try:
        for part in _chosen(options.only):
            run.say(f"{part} ...")
            begun = time.monotonic()
            try:
                importlib.import_module(f"bench.parts.{part}").run(run)
            except Exception as error:  # the other parts still count
                failed = True
                run.results.skip(part, "the whole part", f"{type(error).__name__}: {error}")
                run.say(f"  {type(error).__name__}: {error}")
            run.results.seconds[part] = round(time.monotonic() - begun, 1)
            run.say(f"  {run.results.seconds[part]} s")
            write(run.results, options.output)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if options.publish:
        publish(run.results, _ROOT)
    print(options.output / "benchmarks.md")
    return 1 if failed else 0


def write(results: Results, folder: Path) -> None:
    """What is known so far; so a run that is broken off leaves its figures."""
    folder.mkdir(parents=True, exist_ok=True)
    document = json.dumps(results.document(), indent=1, ensure_ascii=False)
    (folder / "benchmarks.json").write_text(document + "\n", encoding="utf-8")
    (folder / "benchmarks.md").write_text(report.markdown(results), encoding="utf-8")
    if results.of("peers"):
        (folder / "benchmarks.svg").write_text(peers_chart(results), encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench/run", description=__doc__)
    parser.add_argument("--only", default="", help=f"of {', '.join(GROUPS)}, or single parts")
    parser.add_argument("--rounds", type=int, help="default 3, quick 1")
    parser.add_argument("--quick", action="store_true", help="smaller, about five minutes")
    parser.add_argument("--scale", type=float, help="shrinks job counts; for trying things out")
    parser.add_argument("--peers", default="", help=f"of {', '.join(ADAPTERS)}")
    parser.add_argument("--five-million", action="store_true", help="growth to 5 million jobs")
    parser.add_argument("--output", type=Path, default=_ROOT / "bench-results", metavar="FOLDER")
    parser.add_argument("--scratch", metavar="FOLDER", help="where the databases are; default TMP")
    parser.add_argument("--publish", action="store_true", help="write docs/ and the README too")
    options = parser.parse_args()
    unknown = {name for name in options.only.split(",") if name} - {*GROUPS, *PARTS}
    unknown |= {name for name in options.peers.split(",") if name} - set(ADAPTERS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if options.rounds is not None and not 1 <= options.rounds <= 20:
        parser.error("--rounds must be 1 to 20")
    if os.environ.get("ORPHEUS_CONFIG"):
        del os.environ["ORPHEUS_CONFIG"]
    return options


def _chosen(only: str) -> list[str]:
    names = [name for name in only.split(",") if name] or list(GROUPS)
    wanted = {part for name in names for part in GROUPS.get(name, (name,))}
    return [part for part in PARTS if part in wanted]


if __name__ == "__main__":
    sys.exit(main())

"""What an idle Orpheus costs: CPU seconds and memory of every process, from /proc."""

from __future__ import annotations

import time

from bench.orpheus_system import Orpheus
from bench.run_state import Run
from bench.tree import Usage, tree

# In the order of the tree.
_NAMES = ("api: http", "api: writer", "master", "maintenance", "worker", "worker")


def run(run: Run) -> None:
    """API, writer, master, maintenance and two workers, watched for half a minute."""
    seconds = run.seconds(30, 10)
    with run.scratch("idle") as folder:
        system = Orpheus(folder)
        with system.api(), system.pool():
            time.sleep(3)
            before = _all(system)
            time.sleep(seconds)
            after = _all(system)
        total = 0.0
        names = (
            list(_NAMES) if len(after) == len(_NAMES) else [usage.name for usage in after.values()]
        )
        for name, (pid, usage) in zip(names, after.items(), strict=True):
            cpu = (usage.cpu - before[pid].cpu) / seconds * 10 if pid in before else usage.cpu
            total += cpu
            subject = f"{name} (process {len(run.results.of('idle')) // 3 + 1})"
            run.results.add("idle", subject, "CPU", "s per 10 s", cpu)
            run.results.add("idle", subject, "RSS", "MB", usage.rss)
            run.results.add("idle", subject, "PSS", "MB", usage.pss)
        whole = f"whole tree ({len(after)} processes)"
        run.results.add("idle", whole, "CPU", "s per 10 s", total)
        run.results.add("idle", whole, "RSS, largest", "MB", max(u.rss for u in after.values()))
        run.results.add("idle", whole, "PSS", "MB", sum(u.pss for u in after.values()))


def _all(system: Orpheus) -> dict[int, Usage]:
    return {one.pid: one for process in system.processes for one in tree(process.pid)}

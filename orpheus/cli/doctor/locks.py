"""Who holds what: the gate, the pools, the file, and who only seems to."""

from __future__ import annotations

import time
from collections.abc import Iterator

from orpheus.cli.doctor.finding import Finding, ok, problem, warning
from orpheus.clock import SECOND_NS, Clock
from orpheus.errors import EXIT_TEMPORARY
from orpheus.ipc.locks import CLIENT, holder_of, is_free, read_record
from orpheus.ipc.openers import command_of, openers, writer_now
from orpheus.ipc.process import is_stopped, start_time
from orpheus.settings import Settings

_LONG_HOLD_NS = 2 * SECOND_NS
# Ours write for milliseconds; who is found this often in a row is not one of ours.
_LOOKS = 4
_BETWEEN_LOOKS = 0.05


def check(settings: Settings, clock: Clock) -> Iterator[Finding]:
    """Must run in a process without a connection to the database."""
    yield _gate(settings, clock)
    yield from _pools(settings)
    yield from _openers(settings)
    yield _stranger(settings)


def _gate(settings: Settings, clock: Clock) -> Finding:
    record = read_record(settings.gate_path)
    if record is None:
        return ok("gate", "nobody is inside")
    if start_time(record.pid) != record.start_time:
        return ok("gate", f"process {record.pid} died inside; the next writer takes over")
    who = f"process {record.pid} ({command_of(record.pid)})"
    if is_stopped(record.pid):
        whose = "a program of yours" if record.kind == CLIENT else "a program of Orpheus"
        return problem(
            "gate",
            f"{who}, {whose}, is stopped inside: nobody can write",
            f"kill -CONT {record.pid}, or kill -KILL {record.pid}: nothing committed is lost",
            EXIT_TEMPORARY,
        )
    held = clock.monotonic() - record.entered
    if held > _LONG_HOLD_NS:
        return warning(
            "gate",
            f"{who} has been inside for {held / SECOND_NS:.1f} s",
            "if that goes on: see its log, or what keeps the disk busy",
        )
    return ok("gate", f"{who} is inside")


def _pools(settings: Settings) -> Iterator[Finding]:
    running = 0
    for path in sorted(settings.locks_dir.glob("pool-*.lock")):
        name = path.name.removeprefix("pool-").removesuffix(".lock")
        if is_free(path):
            continue
        running += 1
        pid = holder_of(path) or 0
        if is_stopped(pid):
            yield problem(
                "pool",
                f"the master of {name}, process {pid}, is stopped: nobody ends its stuck jobs",
                f"kill -CONT {pid}",
                EXIT_TEMPORARY,
            )
        else:
            yield ok("pool", f"{name} runs, as process {pid}")
    if not running:
        yield ok("pool", "none runs: jobs wait")


def _openers(settings: Settings) -> Iterator[Finding]:
    found = [(pid, command_of(pid)) for pid in openers(settings.database_path)]
    apis = [pid for pid, command in found if "orpheus" in command and command.endswith(" api")]
    others = [f"{pid} ({command})" for pid, command in found if "orpheus" not in command]
    yield ok("api", f"process {', '.join(map(str, apis))}" if apis else "none runs")
    if others:
        yield ok("other programs", f"with the database open: {', '.join(others)}")


def _stranger(settings: Settings) -> Finding:
    seen: set[int | None] = set()
    for _ in range(_LOOKS):
        seen.add(writer_now(settings.database_path))
        if len(seen) > 1 or seen == {None}:
            return ok("write lock", "free for whoever is in the gate")
        time.sleep(_BETWEEN_LOOKS)
    pid = seen.pop()
    return warning(
        "write lock",
        f"process {pid} ({command_of(pid or 0)}) is in a long write transaction",
        "if it is no program of Orpheus, end its transaction: meanwhile nothing is accepted",
    )

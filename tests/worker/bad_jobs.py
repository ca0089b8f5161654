"""Handlers that misbehave, and one that tells what state of the process it finds."""

from __future__ import annotations

import asyncio
import ctypes
import decimal
import gc
import io
import locale
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import anyio
import anyio.to_thread

from orpheus import Context, job

LEAKED: list[bytes] = []
VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="unset")
C = ctypes.CDLL(None)


@job
def state() -> dict[str, Any]:
    """What a job can find changed. Also serves as a good job: it does nothing else."""
    mask = os.umask(0o022)
    os.umask(mask)
    return {
        "pid": os.getpid(),
        "folder": os.getcwd(),
        "umask": mask,
        "environment": dict(os.environ),
        "c environment": C.getenv(b"ONLY_IN_C") != 0,
        "handlers": [str(signal.getsignal(n)).split(" at ")[0] for n in range(1, 32)],
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "timers": [signal.getitimer(n)[0] for n in range(3)],
        "streams": [type(s).__name__ for s in (sys.stdin, sys.stdout, sys.stderr)],
        "closed": sys.stdout.closed,
        "standard": [_file(n) for n in range(3)],
        "limits": resource.getrlimit(resource.RLIMIT_AS),
        "group": os.getpgrp(),
        "nice": os.getpriority(os.PRIO_PROCESS, 0),
        "hooks": [str(sys.gettrace()), str(sys.getprofile())],
        "recursion": sys.getrecursionlimit(),
        "switch": sys.getswitchinterval(),
        "gc": [gc.isenabled(), *gc.get_threshold()],
        "warnings": len(warnings.filters),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": decimal.getcontext().prec,
        "variable": VARIABLE.get(),
        "socket": socket.getdefaulttimeout(),
        "threads": threading.active_count(),
    }


def _file(number: int) -> list[int]:
    status = os.fstat(number)
    return [status.st_dev, status.st_ino]


def _removed_folder() -> None:
    folder = tempfile.mkdtemp()
    os.chdir(folder)
    os.rmdir(folder)


def _environment() -> None:
    os.environ["ADDED"] = "x"
    os.environ["PATH"] = "/nowhere"
    del os.environ["ORPHEUS_DATA_DIR"]
    os.putenv("ONLY_IN_C", "1")


def _signals() -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)


def _alarm() -> None:
    def rings(_number: int, _frame: object) -> None:
        raise RuntimeError("rings in another job")

    signal.signal(signal.SIGALRM, rings)
    signal.setitimer(signal.ITIMER_REAL, 0.05)


def _silent_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)


def _streams() -> None:
    sys.stdout = io.StringIO()
    sys.stderr = sys.stdin = None


def _standard() -> None:
    for number in range(3):
        os.close(number)
    os.open("/etc/hostname", os.O_RDONLY)


def _own_thread_pool() -> None:
    """Not left: it is told to end and needs a moment."""
    done = threading.Event()
    threading.Thread(target=lambda: done.wait(0.02)).start()


def _interpreter() -> None:
    sys.setrecursionlimit(400)
    sys.setswitchinterval(1)
    gc.disable()
    gc.set_threshold(1, 1, 1)
    warnings.simplefilter("error")
    socket.setdefaulttimeout(0.001)
    sys.setprofile(lambda *_: None)


def _program() -> None:
    subprocess.Popen(["sleep", "600"])


def _grandchild() -> None:
    os.system("sleep 600 &")


CHANGES: dict[str, Callable[[], object]] = {
    "folder": lambda: os.chdir("/"),
    "removed folder": _removed_folder,
    "umask": lambda: os.umask(0o777),
    "environment": _environment,
    "signals": _signals,
    "signal mask": lambda: signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65)),
    "alarm": _alarm,
    "silent alarm": _silent_alarm,
    "streams": _streams,
    "closed stream": lambda: sys.stdout.close(),
    "standard": _standard,
    "limits": lambda: resource.setrlimit(resource.RLIMIT_AS, (1 << 40, resource.RLIM_INFINITY)),
    "priority": lambda: os.nice(5),
    "interpreter": _interpreter,
    "locale": lambda: locale.setlocale(locale.LC_ALL, "C"),
    "decimal": lambda: setattr(decimal.getcontext(), "prec", 3),
    "variable": lambda: VARIABLE.set("changed"),
    "ending thread": _own_thread_pool,
    "program": _program,
    "grandchild": _grandchild,
}


@job
def change(what: str, seconds: float = 0) -> int:
    """Change the state of the process and say in which it was."""
    time.sleep(seconds)
    CHANGES[what]()
    return os.getpid()


@job
async def uses_threads() -> int:
    """The threads of an event loop end with it."""
    await anyio.to_thread.run_sync(time.sleep, 0.01)
    await asyncio.to_thread(time.sleep, 0.01)
    return os.getpid()


@job
def shares_memory() -> int:
    """Starts a helper process that `multiprocessing` keeps."""
    memory = SharedMemory(create=True, size=10)
    memory.close()
    memory.unlink()
    return os.getpid()


# --- what cannot be undone ------------------------------------------------------------------------


def _thread() -> None:
    threading.Thread(target=lambda: time.sleep(600), daemon=True, name="forgotten").start()


def _stubborn_program() -> None:
    program = subprocess.Popen(
        ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.2; done"],
        stdout=subprocess.PIPE,
    )
    assert program.stdout is not None
    program.stdout.readline()


def _all_descriptors() -> None:
    os.closerange(3, 200)


def _replaced_descriptors() -> None:
    null = os.open("/dev/null", os.O_RDWR)
    for number in range(3, 40):
        os.dup2(null, number)


def _other_user() -> None:
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)


SPOILS: dict[str, Callable[[], object]] = {
    "thread": _thread,
    "program": _stubborn_program,
    "closed": _all_descriptors,
    "replaced": _replaced_descriptors,
    "user": _other_user,
}


@job
def spoil(what: str, size: int = 0, seconds: float = 0) -> dict[str, Any]:
    """Leave something behind that only the end of the process undoes."""
    time.sleep(seconds)
    SPOILS[what]()
    return {"pid": os.getpid(), "fill": "x" * size}


# --- how jobs end ---------------------------------------------------------------------------------


@job
def c_call() -> int:
    return sum(range(10**10))


@job
def deaf() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        pass


@job
def stubborn() -> None:
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


@job(max_crashes=1)
def exits(how: str) -> None:
    if how == "clean":
        os._exit(0)
    os.abort()


@job
def opens(path: str) -> int:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
        connection.execute("SELECT COUNT(*) FROM jobs")
    with open(path, "rb") as file:
        return len(file.read(10))


@job
def hog() -> int:
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()  # noqa: SIM115
    resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
    return len(bytearray(1 << 30))


@job
def prints(megabytes: int) -> str:
    line = "0123456789" * 10
    for n in range(megabytes * 10_000):
        print(n, line)
    return "done"


@job
def says(ctx: Context) -> None:
    print("to stdout,", "in", "parts")
    print("to stderr", file=sys.stderr)
    sys.stdout.buffer.write("bytes: ä\n".encode())
    ctx.log.info("logged")
    print("without an end", end="")


@job
def chatters(ctx: Context, lines: int) -> None:
    for n in range(lines):
        ctx.log.info("line", n=n)


@job
def leaks(megabytes: int) -> int:
    LEAKED.append(b"x" * (megabytes << 20))
    time.sleep(1.1)  # memory is looked at once a second
    return os.getpid()

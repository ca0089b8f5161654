"""What user code did to its process, heard through Python's audit events.

They cost a job nothing that does none of it, where looking for the changes after each job would
cost system calls. Installed once by a worker; `hygiene` reads and clears it. Code that goes past
Python (a C library that changes the folder) is not heard: `clean_state` finds it when it looks.

One act is refused and not only heard: opening the database's files, because closing them again
would drop the locks that SQLite has in this process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from orpheus.worker.soft_stop import SlotWords

_STARTS_PROCESS = frozenset(
    {"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
)
_ENVIRONMENT = frozenset({"os.putenv", "os.unsetenv"})
_OTHERS = frozenset(
    {"os.chdir", "resource.setrlimit", "resource.prlimit", "sys.setprofile", "sys.settrace"}
)
_WATCHED = _STARTS_PROCESS | _ENVIRONMENT | _OTHERS


class Traces:
    """What was heard since the last `clear`."""

    def __init__(self, slot: SlotWords, locked: Iterable[Path] = ()) -> None:
        """`locked` are the files that user code must not open."""
        self._slot = slot
        self._locked = frozenset(map(str, locked))
        self.any = False
        self.processes = False
        # The names of variables, as the system has them.
        self.variables: set[bytes] = set()

    def install(self) -> None:
        """Listen from now on, for the life of this process."""
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[object, ...]) -> None:
        """One audit event. Called in the middle of anything, so it must not wait."""
        if event not in _WATCHED:
            if event == "open" and arguments[0].__class__ is str and arguments[0] in self._locked:
                self._refuse(arguments[0])
            return
        self.any = True
        if event in _ENVIRONMENT:
            name = arguments[0]
            if isinstance(name, bytes):
                self.variables.add(name)
        elif event in _STARTS_PROCESS:
            self.processes = True

    def _refuse(self, path: object) -> None:
        if self._slot.armed:
            raise PermissionError(
                f"a job must not open {path} as a file: closing it drops SQLite's locks in this "
                "worker. Read it with sqlite3, as file:…?mode=ro"
            )

    def clear(self) -> None:
        """Forget it; what comes next is the next job's."""
        self.any = self.processes = False
        if self.variables:
            self.variables = set()

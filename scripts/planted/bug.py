"""A planted bug: an exact piece of the source, what stands there instead, who must notice."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


class Stale(Exception):
    """The code has moved on and the bug no longer fits it."""


@dataclass(frozen=True, slots=True)
class Bug:
    """`find` occurs exactly once in `file`; `tests` are pytest's arguments.

    `breaks` names what is broken (a law or protocol of the design, a decision), `what` says in
    one sentence what the system then does.
    """

    id: str
    breaks: str
    what: str
    file: str
    find: str
    put: str
    tests: str

    @property
    def selection(self) -> list[str]:
        return shlex.split(self.tests)

    def planted(self, source: str) -> str:
        """The source with the bug; raises Stale where the text is not there exactly once."""
        found = source.count(self.find)
        if found != 1:
            raise Stale(f"{self.id}: its text occurs {found} times in {self.file}, not once")
        return source.replace(self.find, self.put)

    def plant(self, root: Path) -> None:
        """Put it into the tree below `root`."""
        path = root / self.file
        path.write_text(self.planted(path.read_text(encoding="utf-8")), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Excluded:
    """A bug that cannot be planted, because the design leaves no place for it."""

    what: str
    why: str

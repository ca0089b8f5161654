"""One submit of a user's process on its way to the thread that writes it, and what it became.

Made by `client.direct`, taken or dropped in `client.committer`. Touches no database.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from orpheus.domain.job import NewJob
from orpheus.errors import StoreBusy
from orpheus.store import also
from orpheus.store.idempotency import IdempotencyKey
from orpheus.store.staging import Staged
from orpheus.store.submit import Submitted
from orpheus.store.submit_alike import Run, payloads_of

Item = dict[str, Any]
"""What became of one job of a submit, as POST /jobs/batch answers it."""


@dataclass(slots=True)
class Written:
    """What a submit became; `row` are the columns of a single job, `attempts` included."""

    make: Callable[[], list[Item]]
    row: dict[str, Any] | None = None
    _items: list[Item] | None = None

    def items(self) -> list[Item]:
        """The answer, made when first asked for: ten thousand items in a large batch."""
        if self._items is None:
            self._items = self.make()
        return self._items


def listed(submitted: Sequence[Submitted]) -> list[Item]:
    """The items of jobs that were looked at one by one."""
    return [one.item() for one in submitted]


def counted(ids: range, state: str) -> list[Item]:
    """The items of jobs that are alike."""
    return [{"id": id_, "state": state, "ref": None, "deduplicated": False} for id_ in ids]


class Order:
    """One submit on its way. Whoever is first decides: the thread takes it, the caller drops it."""

    def __init__(
        self,
        jobs: Sequence[NewJob] | Run,
        statements: Sequence[also.Statement] = (),
        key: IdempotencyKey | None = None,
        want_row: bool = False,
    ) -> None:
        self.jobs = jobs
        self.payloads = payloads_of(jobs)
        self.count = len(self.payloads)
        self.size = sum(map(len, self.payloads))
        self.staged: Staged | None = None
        self.statements = statements
        self.key = key
        self.want_row = want_row
        # Written and not yet synced, where the answer takes a while to make; else with `finished`.
        self.visible = threading.Event()
        self.finished = threading.Event()
        self.written: Written | None = None
        self.error: BaseException | None = None
        self._fate = threading.Lock()

    def take(self) -> bool:
        """Begin to write it; False if it is no longer wanted."""
        return self._fate.acquire(blocking=False)

    def drop(self) -> bool:
        """Give it up; False if it is being written already."""
        return self._fate.acquire(blocking=False)

    def abandon(self) -> None:
        """Drop it and wake the thread that waits for it."""
        if self.drop():
            self.fail(StoreBusy("given up by its caller; nothing was written"))

    def fail(self, error: BaseException) -> None:
        """Answer with an error."""
        self.error = error
        self.finish()

    def finish(self) -> None:
        """Let the caller have `written` or `error`."""
        self.finished.set()
        # Last, so that who waits for both wakes once.
        self.visible.set()

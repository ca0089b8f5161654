"""The orders of one transaction: written, made known and answered.

Made by `client.committer`, in its thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from orpheus.client.order import Order, Written, counted, listed
from orpheus.domain.job import JobState
from orpheus.errors import OrpheusError, ProgramError, RequestError, StoreBusy
from orpheus.ipc.doorbell import Ringer
from orpheus.store import also
from orpheus.store.admission import Admission
from orpheus.store.database import Database
from orpheus.store.idempotency import recall, remember
from orpheus.store.job_shape import JOB
from orpheus.store.submit import Submitted, submit
from orpheus.store.submit_alike import Run, submit_alike
from orpheus.store.transaction import Transaction

# Jobs of an order whose answer takes longer to make than a thread takes to wake.
_MANY = 1000


class Group:
    """The orders of one transaction."""

    def __init__(
        self, database: Database, ringer: Ringer, admission: Admission, *, alone: bool
    ) -> None:
        self.alone = alone
        self._database = database
        self._ringer = ringer
        self._admission = admission
        self._new_jobs = False
        self._scheduled = False

    def run(self, waiting: Iterator[Order]) -> None:
        """Take the waiting orders inside the gate, write them and answer each."""
        orders: list[Order] = []
        try:
            # A job nobody was told of may vanish in a power cut, with all that came of it (ADR
            # 0013); what others read of the user's own tables may not.
            self._commit(orders, waiting, synced=self.alone)
        finally:
            for order in orders:
                if not order.finished.is_set():
                    order.fail(StoreBusy("the writing thread ended; nothing was written"))

    def _commit(self, orders: list[Order], source: Iterator[Order], *, synced: bool) -> None:
        answers: list[Written | RequestError] = []
        try:
            with self._database.write(synced=synced) as tx:
                # Early: who is called wakes while this is written, and is next at the gate.
                self._ringer.ring("jobs")
                for order in source:
                    orders.append(order)
                    answers.append(self._one(tx, order))
        except ProgramError as error:
            for order in orders:
                order.fail(error)
            raise
        except Exception as error:
            if len(orders) > 1 and not isinstance(error, OrpheusError):
                # A defect in one must not cost the others: each by itself.
                for order in orders:
                    self._commit([], iter([order]), synced=synced)
                return
            for order in orders:
                order.fail(error)
            return
        # From here on it is written; nothing may try it again.
        if self._scheduled:
            # All: whoever is idle when the time comes must know when that is.
            self._ringer.ring("work-")
        for order, answer in zip(orders, answers, strict=True):
            if isinstance(answer, Written):
                order.written = answer
                if order.count >= _MANY:
                    # Its caller makes the items while the disk writes.
                    order.visible.set()
        if not synced:
            self._sync(orders)
        for order, answer in zip(orders, answers, strict=True):
            if isinstance(answer, Written):
                order.finish()
            else:
                order.fail(answer)
        if self._new_jobs:
            self._ringer.ring("feed-")

    def _sync(self, orders: list[Order]) -> None:
        try:
            self._database.sync()
        except Exception as error:
            for order in orders:
                order.fail(error)
            raise

    def _one(self, tx: Transaction, order: Order) -> Written | RequestError:
        """A submit checks before it writes, so one that is refused has changed nothing.

        With statements it is alone, and what it raises rolls them back too.
        """
        try:
            kept = recall(tx, order.key) if order.key is not None else None
            if kept is not None:
                return _written(tx, order, kept)
            self._admission.check_disk()
            if order.statements:
                also.run(tx.connection, order.statements)
            written = self._submitted(tx, order)
        except RequestError as error:
            self._admission.note(error)
            if order.statements:
                raise
            return error
        self._admission.note(None)
        self._new_jobs = True
        return written

    def _submitted(self, tx: Transaction, order: Order) -> Written:
        if isinstance(order.jobs, Run):
            first, state = submit_alike(tx, order.jobs, self._admission.max_pending, order.staged)
            self._scheduled |= state is JobState.SCHEDULED
            return Written(partial(counted, range(first, first + order.count), state.value))
        submitted = submit(tx, order.jobs, self._admission.max_pending, order.staged)
        self._scheduled |= any(one.state == JobState.SCHEDULED for one in submitted)
        if order.key is not None:
            remember(tx, order.key, submitted)
        return _written(tx, order, submitted)


def _written(tx: Transaction, order: Order, submitted: Sequence[Submitted]) -> Written:
    row = _row(tx, submitted[0].id) if order.want_row else None
    return Written(partial(listed, submitted), row)


def _row(tx: Transaction, job_id: int) -> dict[str, Any] | None:
    cursor = tx.connection.execute(JOB, (job_id,))
    row = cursor.fetchone()
    if row is None:
        return None
    return dict(zip((column[0] for column in cursor.description), row, strict=True))

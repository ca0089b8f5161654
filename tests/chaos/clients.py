"""Clients that submit batches under keys while blows fall, and record what they were told.

As in Jepsen's histories each batch has an invocation and, maybe, an acknowledgement. What was not
answered is unknown: it may be there or not, all of it or nothing.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from orpheus.client.http import Client, OrpheusHTTPError, ServerUnreachable

_BUSY = 503
_PATIENCE = 30.0
_ANSWER_WITHIN = 5.0
_GIVES_UP = 0.03
_ASKS_AGAIN = 0.2
# Batches.
_AHEAD = 5
_LARGEST = 25
# Bytes of a job of the largest batches, which are staged.
_HEAVY = 100_000
_NUMBERS_OF_A_CLIENT = 1_000_000


@dataclass
class Submission:
    """One batch of `double`; `ids` in the order of `numbers`, None while not acknowledged."""

    key: str
    numbers: list[int]
    invoked: float
    acknowledged: float | None = None
    ids: list[int] | None = None
    # Answers that no blow excuses.
    complaints: list[str] = field(default_factory=list)


class Submitter(threading.Thread):
    """One client: submits, asks again where nobody answered, and never gets far ahead of the jobs.

    A hasty one has a request under way nearly all the time, so that a blow finds it there.
    """

    def __init__(self, url: str, number: int, trace: Path, seed: int, hasty: bool = False) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._hasty = hasty
        self._url = url
        self._next = number * _NUMBERS_OF_A_CLIENT
        self._trace = trace
        self._rng = Random(f"{seed}/{number}")
        self._enough = threading.Event()
        self.submissions: list[Submission] = []

    def run(self) -> None:
        try:
            with Client(self._url, token="", timeout=_ANSWER_WITHIN) as client:
                while not self._enough.is_set():
                    self._submit(client)
                    if self._hasty:
                        time.sleep(self._rng.uniform(0, 0.03))
                    else:
                        self._keep_pace(client)
        except Exception as error:
            # An attack without its clients must not pass.
            self.submissions[-1].complaints.append(f"the client ended: {error!r}")

    def stop(self) -> None:
        """After the batch in hand."""
        self._enough.set()

    def _submit(self, client: Client) -> None:
        most = 3 if self._hasty else _LARGEST
        numbers = list(range(self._next, self._next + self._rng.randint(1, most)))
        self._next = numbers[-1] + 1
        # Now and then one that is large enough to be staged.
        ballast = {"ballast": "x" * _HEAVY} if len(numbers) == most and not self._hasty else {}
        batch = [
            {"type": "double", "payload": self._payload(number) | ballast} for number in numbers
        ]
        submission = Submission(f"{self.name}-{numbers[0]}", numbers, time.time())
        self.submissions.append(submission)
        submission.ids = self._until_answered(client, batch, submission)
        if submission.ids is not None:
            submission.acknowledged = time.time()
            if self._rng.random() < _ASKS_AGAIN:
                self._ask_again(client, batch, submission)

    def _payload(self, number: int) -> dict[str, Any]:
        milliseconds = 0 if self._hasty else self._rng.choice([0, 1, 5, 20, 40, 80])
        return {"n": number, "path": str(self._trace), "milliseconds": milliseconds}

    def _until_answered(
        self, client: Client, batch: list[dict[str, Any]], submission: Submission
    ) -> list[int] | None:
        """The ids, or None from a client that gives up: on an answer that never came, or a no."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            try:
                return _ids(client, batch, submission.key)
            except ServerUnreachable:
                pass
            except OrpheusHTTPError as error:
                if error.status != _BUSY:
                    submission.complaints.append(f"refused: {error}")
                    return None
            if self._rng.random() < _GIVES_UP:
                return None
            time.sleep(self._rng.uniform(0.02, 0.1))
        return None

    def _ask_again(
        self, client: Client, batch: list[dict[str, Any]], submission: Submission
    ) -> None:
        """The same key again must be answered with the same jobs."""
        again = self._until_answered(client, batch, submission)
        if again is not None and again != submission.ids:
            submission.complaints.append(f"first {submission.ids}, again {again}")

    def _keep_pace(self, client: Client) -> None:
        """Wait for a batch of a while ago: there is always work waiting, and never much."""
        told = [submission.ids for submission in self.submissions if submission.ids]
        if len(told) <= _AHEAD:
            return
        deadline = time.monotonic() + _PATIENCE
        while not self._enough.is_set() and time.monotonic() < deadline:
            try:
                if client.get(told[-1 - _AHEAD][-1], wait=1)["state"] == "done":
                    return
            except (ServerUnreachable, OrpheusHTTPError):
                time.sleep(0.05)


def _ids(client: Client, batch: list[dict[str, Any]], key: str) -> list[int]:
    return [item["id"] for item in client.submit_many(batch, idempotency_key=key)]

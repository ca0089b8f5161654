"""Large submits of a user's process: what is written ahead of their jobs never stays alone."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orpheus import DirectClient
from orpheus.errors import RequestError, StoreBusy
from orpheus.store.admission import Admission
from tests.client.direct_setup import Folder, make_folder
from tests.support.waiting import eventually

TEXT = "x" * 100_000


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return make_folder(tmp_path)


@pytest.fixture
def client(folder: Folder) -> Iterator[DirectClient]:
    with folder.client(timeout=0.5) as client:
        yield client


def large(**options: Any) -> list[dict[str, Any]]:
    return [{"type": "wordcount", "payload": {"text": TEXT}, **options} for _ in range(30)]


def staged(folder: Folder) -> tuple[int, int, int]:
    return folder.count("jobs"), folder.count("payloads"), folder.count("staged")


@pytest.mark.parametrize("options", [{}, {"tags": ["a"]}])
def test_it_is_written_whole(folder: Folder, client: DirectClient, options: dict[str, Any]) -> None:
    client.submit_many(large(**options), idempotency_key="key")
    again = client.submit_many(large(**options), idempotency_key="key")
    assert [item["id"] for item in again] == list(range(1, 31))
    assert staged(folder) == (30, 30, 0)
    assert folder.rows("SELECT seq FROM sqlite_sequence WHERE name = 'payloads'") == [(30,)]


def test_in_one_transaction_with_statements_of_its_own(
    folder: Folder, client: DirectClient
) -> None:
    client.submit_many(large(), also=[("INSERT INTO orders (item) VALUES (?)", ("pen",))])
    assert staged(folder) == (30, 30, 0)
    with pytest.raises(sqlite3.IntegrityError):
        client.submit_many(large(), also=[("INSERT INTO orders (item) VALUES (?)", ("pen",))])
    eventually(lambda: staged(folder) == (30, 30, 0))
    assert folder.count("orders") == 1


def test_one_that_is_given_up_leaves_nothing(folder: Folder, client: DirectClient) -> None:
    client.submit("sum_range", {"n": 1})
    with folder.gate_held(), pytest.raises(StoreBusy, match="nothing was written"):
        client.submit_many(large())
    # The thread has waited for the gate meanwhile, and finds out inside it.
    client.submit("sum_range", {"n": 2})
    eventually(lambda: staged(folder) == (2, 0, 0))


def test_one_that_is_refused_leaves_nothing(
    folder: Folder, client: DirectClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Admission, "max_pending", 20)
    with pytest.raises(RequestError, match="20 may"):
        client.submit_many(large())
    assert folder.rows("SELECT seq FROM sqlite_sequence WHERE name = 'payloads'") == []
    # There seemed to be room when it was begun.
    monkeypatch.setattr(Admission, "would_write", lambda *_: True)
    with pytest.raises(RequestError, match="20 may"):
        client.submit_many(large())
    eventually(lambda: staged(folder) == (0, 0, 0))
    assert folder.rows("SELECT seq FROM sqlite_sequence WHERE name = 'payloads'") == [(30,)]

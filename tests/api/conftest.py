"""Fixtures of the API's tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.running import Api, running_api


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One API for all tests of a file; they must not mind each other's jobs."""
    with running_api(tmp_path_factory.mktemp("api")) as api:
        yield api

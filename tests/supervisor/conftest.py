"""A supervised Orpheus for each test that asks for one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.checkout import Checkout

MakeCheckout = Callable[..., Checkout]


@pytest.fixture
def make_checkout(project_root: Path, tmp_path: Path) -> Iterator[MakeCheckout]:
    """Makes a checkout in a folder of the given name; settings without the ORPHEUS_ prefix."""
    made: list[Checkout] = []

    def make(name: str = "checkout", **settings: str) -> Checkout:
        made.append(Checkout(project_root, tmp_path / name, **settings))
        return made[-1]

    yield make
    for checkout in made:
        checkout.close()

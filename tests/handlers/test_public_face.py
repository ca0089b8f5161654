"""What `import orpheus` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import orpheus


@pytest.mark.parametrize("name", orpheus.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(orpheus, name) is not None
    assert name in dir(orpheus)


def test_the_version_is_that_of_the_distribution() -> None:
    assert orpheus.__version__[0].isdigit()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        orpheus.nothing  # noqa: B018


def test_the_package_itself_loads_no_handlers_and_no_database() -> None:
    """The master lives in this package and must stay without either."""
    source = """
import sys, orpheus
loaded = [name for name in sys.modules if name.startswith(("orpheus.", "pydantic", "sqlite3"))]
print(*loaded, end="")
"""
    assert subprocess.check_output([sys.executable, "-c", source]) == b""

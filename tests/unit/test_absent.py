"""What is hidden while a library loads, and back again afterwards."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from orpheus.absent import absent


@pytest.fixture
def optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be imported and was not yet."""
    name = "an_optional_part"
    (tmp_path / f"{name}.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, name, sys)
    monkeypatch.delitem(sys.modules, name)
    return name


def test_a_module_is_as_if_not_installed_and_comes_back(optional: str) -> None:
    with absent(optional), pytest.raises(ModuleNotFoundError):
        importlib.import_module(optional)
    assert importlib.import_module(optional).__name__ == optional


def test_it_comes_back_after_an_error(optional: str) -> None:
    with pytest.raises(ZeroDivisionError), absent(optional):
        raise ZeroDivisionError
    assert importlib.import_module(optional).__name__ == optional


def test_a_module_in_use_stays(optional: str) -> None:
    module = importlib.import_module(optional)
    with absent(optional):
        assert importlib.import_module(optional) is module
    assert sys.modules[optional] is module

"""What `@job` notes about a handler, and where the notes are found again.

The note is kept on the function and in a list in the namespace of its module, so it lives and
dies with the module and there is no global registry to leak between tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

from orpheus.errors import ConfigurationError

_ON_FUNCTION = "__orpheus_job__"
_IN_MODULE = "__orpheus_jobs__"


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds before retry n: `min(cap, base * 2**(n - 1))`, times 0.8 to 1.2 by chance."""

    base: float = 1.0
    cap: float = 300.0


@dataclass(frozen=True, slots=True)
class Declaration:
    """One use of `@job`. None means that the settings decide. Seconds."""

    handler: Callable[..., Any]
    name: str
    queue: str
    timeout: float | None
    max_retries: int | None
    max_crashes: int | None
    backoff: Backoff | None

    @property
    def source(self) -> str:
        """Where the handler stands, as `module:line`."""
        return place_of(self.handler)


def place_of(function: Callable[..., Any]) -> str:
    """`module:line` of a function."""
    code = getattr(function, "__code__", None)
    line = f":{code.co_firstlineno}" if code is not None else ""
    return f"{getattr(function, '__module__', None) or '?'}{line}"


def declare(declaration: Declaration) -> None:
    """Note the declaration; called by the decorator only."""
    handler = declaration.handler
    setattr(handler, _ON_FUNCTION, declaration)
    module = sys.modules.get(handler.__module__)
    if module is not None:
        # Also one that a later function of the same name replaces: that is a duplicate to report.
        vars(module).setdefault(_IN_MODULE, []).append(declaration)


def declaration_of(handler: Callable[..., Any]) -> Declaration:
    """The declaration of a decorated function."""
    found = getattr(handler, _ON_FUNCTION, None)
    if not isinstance(found, Declaration):
        raise ConfigurationError(f"the function at {place_of(handler)} has no @job")
    return found


def declarations_in(module: ModuleType) -> Iterator[Declaration]:
    """Each declaration of a module, of submodules it imported, and of functions it imported."""
    inside = f"{module.__name__}."
    modules = [module, *(part for name, part in sys.modules.items() if name.startswith(inside))]
    seen: set[Declaration] = set()
    for namespace in map(vars, modules):
        imported = (
            getattr(value, _ON_FUNCTION, None)
            for value in namespace.values()
            if isinstance(value, FunctionType)
        )
        for found in (*namespace.get(_IN_MODULE, ()), *imported):
            if isinstance(found, Declaration) and found not in seen:
                seen.add(found)
                yield found

"""Imports the handler modules and makes the registry of what they declare.

Called once by the API's http process and by each worker after its fork; never by the master,
maintenance or the writer, because importing a module runs user code.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from orpheus.errors import ConfigurationError
from orpheus.handlers.declaration import Declaration, declaration_of, declarations_in
from orpheus.handlers.registry import JobType, Registry
from orpheus.handlers.signature import Signature

# Frames between us and the line that failed: `@job`, and the import system.
_NOT_THEIRS = (str(Path(__file__).parent), importlib.__file__, "<frozen importlib")
_ALWAYS = ("orpheus.handlers.builtin",)


class HandlerSettings(Protocol):
    """The settings that say where handlers are."""

    @property
    def root(self) -> Path:
        """Goes first on `sys.path`."""

    @property
    def handlers(self) -> tuple[str, ...]:
        """Names of modules."""


def load_registry(settings: HandlerSettings) -> Registry:
    """Import the built-in handlers and those the settings name.

    Raises ConfigurationError, naming module, line and cause, for a module that fails to import,
    a type registered twice, or a handler whose signature cannot be a payload.
    """
    root = str(settings.root)
    if sys.path[:1] != [root]:
        sys.path.insert(0, root)
    registry = Registry()
    known: set[Declaration] = set()
    for name in dict.fromkeys((*_ALWAYS, *settings.handlers)):
        for declaration in declarations_in(_import(name, root)):
            # Two of the modules may have imported the same handler.
            if declaration not in known:
                known.add(declaration)
                registry.register(job_type_of(declaration))
    return registry


def job_type_of(declared: Declaration | Callable[..., Any]) -> JobType:
    """The job type of one declaration or decorated function."""
    declaration = declared if isinstance(declared, Declaration) else declaration_of(declared)
    handler = declaration.handler
    try:
        signature = Signature(handler, declaration.name)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"job type {declaration.name!r} at {declaration.source}: {error}"
        ) from error
    return JobType(
        name=declaration.name,
        handler=handler,
        lane="async" if inspect.iscoroutinefunction(handler) else "sync",
        doc=inspect.getdoc(handler) or "",
        queue=declaration.queue,
        timeout=declaration.timeout,
        max_retries=declaration.max_retries,
        max_crashes=declaration.max_crashes,
        backoff=declaration.backoff,
        signature=signature,
        source=declaration.source,
    )


def _import(name: str, root: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigurationError(
            f"handler module {name!r} cannot be imported: "
            f"{_place(error)}{cause}{_advice(error, name, root)}"
        ) from error


def _place(error: BaseException) -> str:
    """File and line of what failed, empty if the module was not found at all."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}: "
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_NOT_THEIRS)
    ]
    return f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""


def _advice(error: BaseException, name: str, root: str) -> str:
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return ""
    if not f"{name}.".startswith(f"{error.name}."):
        return ""
    return f" (looked in {root} first; change `handlers` in the settings or add the module)"

"""One bug on trial: a copy of the checkout, the bug in it, and the tests that should notice.

The copy is made of a commit, so that what somebody edits meanwhile has no part in it. It has an
environment of its own, which borrows the packages of the checkout's: tests start programs with
settings of their own, and those must find the copy, too. Whatever a trial started carries a mark
and is killed at its end.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from planted.bug import Bug

_MARK = "PLANTED_BUG"
_NOT_OURS = ("ORPHEUS_", "SUPERVISOR", "PYTHONPATH", "VIRTUAL_ENV")
_PYTEST = (
    "-q", "-x", "-rfE", "--tb=short", "--timeout=30", "-p", "pytest_timeout",
    "-p", "anyio.pytest_plugin",
)  # fmt: skip
_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)
_ALL_PASSED, _SOME_FAILED, _NONE_FOUND = 0, 1, 5

CAUGHT, SURVIVED, BROKEN = "caught", "survived", "broken"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a bug. `test` is the first that failed; `hung` where time ran out."""

    verdict: str
    test: str
    seconds: float
    hung: bool = False
    output: str = ""


class Trials:
    """A clean copy to make copies of; `close` removes everything."""

    def __init__(self, checkout: Path, commit: str, also: Iterable[Path], timeout: float) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="planted-"))
        self._clean = self._folder / "clean"
        self._timeout = timeout
        self._clean.mkdir()
        archive = subprocess.run(
            ["git", "archive", commit], cwd=checkout, stdout=subprocess.PIPE, check=True
        )
        subprocess.run(["tar", "-x", "-C", str(self._clean)], input=archive.stdout, check=True)
        for path in also:
            target = self._clean / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / path, target)
        # By content: a bug may leave both size and time of a file as they were.
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash",
             "orpheus", "tests"],
            cwd=self._clean,
            check=True,
        )  # fmt: skip

    def close(self) -> None:
        """Remove all copies."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def of(self, bug: Bug) -> Verdict:
        """Plant one bug and run its tests."""
        with self._copy() as tree:
            bug.plant(tree)
            return self._run(tree, bug.selection)

    def control(self, selection: list[str]) -> Verdict:
        """Run tests without any bug; `survived` is what it should be."""
        with self._copy() as tree:
            verdict = self._run(tree, selection)
        if verdict.verdict == BROKEN and f"exit {_NONE_FOUND}" in verdict.test:
            return Verdict(SURVIVED, "", verdict.seconds)
        return verdict

    @contextlib.contextmanager
    def _copy(self) -> Iterator[Path]:
        tree = self._folder / uuid.uuid4().hex[:8]
        shutil.copytree(self._clean, tree, symlinks=True)
        try:
            yield tree
        finally:
            shutil.rmtree(tree, ignore_errors=True)
            shutil.rmtree(f"{tree}-tmp", ignore_errors=True)

    def _run(self, tree: Path, selection: list[str]) -> Verdict:
        mark = uuid.uuid4().hex
        # Beside the tree: settings are looked for upwards, and the tree has some.
        scratch = self._folder / f"{tree.name}-tmp"
        scratch.mkdir()
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(_NOT_OURS)},
            "TMPDIR": str(scratch),
            # Half of the time of a short run would be the loading of plugins it does not use.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            _MARK: mark,
        }
        begun = time.monotonic()
        # A file: a pipe would end only with the last process that a bug left behind.
        said = scratch / "said"
        process = subprocess.Popen(
            [_environment_in(tree), "-m", "pytest", *_PYTEST, *selection],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said.open("wb"),
            stderr=subprocess.STDOUT,
        )
        code: int | None = None
        try:
            code = process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            pass
        finally:
            _kill_marked(mark)
            process.wait()
        output = said.read_text(encoding="utf-8", errors="replace")
        return _verdict(code, output, round(time.monotonic() - begun, 1))


def _environment_in(tree: Path) -> str:
    """Make the tree's .venv and return its python."""
    ours = Path(sys.executable).parent
    programs = tree / ".venv" / "bin"
    packages = Path(sysconfig.get_path("purelib"))
    own_packages = tree / ".venv" / packages.relative_to(sys.prefix)
    for folder in (programs, own_packages):
        folder.mkdir(parents=True)
    shutil.copy(ours.parent / "pyvenv.cfg", programs.parent)
    python = programs / "python"
    python.symlink_to(ours / "python")
    for program in ours.iterdir():
        text = program.read_bytes() if program.is_file() else b""
        if text.startswith(b"#!" + bytes(ours)):
            (programs / program.name).write_bytes(text.replace(bytes(ours), bytes(programs), 1))
            (programs / program.name).chmod(0o755)
    # Paths named here are not searched for .pth files: the one that names the checkout is not read.
    (own_packages / "borrowed.pth").write_text(f"{tree}\n{packages}\n", encoding="utf-8")
    return str(python)


def _verdict(code: int | None, output: str, seconds: float) -> Verdict:
    failed = _FAILED.search(output)
    test = failed.group(1) if failed else ""
    if code is None:
        return Verdict(CAUGHT, test, seconds, hung=True, output=output)
    if code == _ALL_PASSED:
        return Verdict(SURVIVED, "", seconds)
    if code == _SOME_FAILED and test:
        return Verdict(CAUGHT, test, seconds, hung="Timeout (>" in output, output=output)
    # A bug that keeps the tests from being collected proves nothing.
    return Verdict(BROKEN, f"pytest ended with exit {code}", seconds, output=output)


def _kill_marked(mark: str) -> None:
    wanted = f"{_MARK}={mark}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue

"""Turns a skipped browser, supervisor or process test into a failure where CI is set.

On a laptop without Chromium a skip is honest. In CI it would be a green run that tested less than
it says, so there a skip of a guarded test fails, and so does a whole-suite run in which a guarded
kind of test did not run at all.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

GUARDED = ("browser", "supervisor", "processes")
# What each lane of the suite (tests/support/lanes.py) must have run; None is the whole suite.
EXPECTED = {
    None: GUARDED,
    "processes": ("processes",),
    "systems": ("browser", "supervisor"),
    "rest": ("processes",),
}
_executed = pytest.StashKey[set[str]]()


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_executed] = set()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    guarded = [name for name in GUARDED if item.get_closest_marker(name)]
    if report.skipped and guarded and _in_ci() and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"a {guarded[0]} test must not be skipped in CI: {report.longrepr}"
    if report.when == "call":
        item.config.stash[_executed].update(guarded)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    if report.skipped and _in_ci():
        report.outcome = "failed"
        report.longrepr = f"a module must not be skipped in CI: {report.longrepr}"
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """A suite from which a whole kind of test has vanished is not green either."""
    missing = _vanished(session)
    if missing and session.exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    session = terminalreporter._session
    missing = _vanished(session) if session is not None else []
    if missing:
        terminalreporter.write_line(f"CI: no test ran of: {', '.join(missing)}", red=True)


def _vanished(session: pytest.Session) -> list[str]:
    config = session.config
    narrowed = (
        config.option.collectonly
        or config.option.keyword
        or config.option.markexpr
        or config.args_source is not pytest.Config.ArgsSource.TESTPATHS
    )
    if not _in_ci() or narrowed:
        return []
    expected = EXPECTED[config.getoption("--lane", default=None)]
    return [name for name in expected if name not in config.stash[_executed]]

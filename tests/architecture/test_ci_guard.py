"""The guard of tests/support/ci_guard.py really turns a run red."""

from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

_SKIPPED = """
import pytest

@pytest.mark.browser
def test_page():
    pytest.skip("no chromium")

def test_other():
    pytest.skip("not guarded")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini(
        "[pytest]\ntestpaths = .\nmarkers =\n    browser: b\n    supervisor: s\n    processes: p\n"
    )
    pytester.makeconftest("pytest_plugins = ['tests.support.ci_guard']")
    return pytester


def test_a_skip_is_a_skip_outside_ci(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    suite.makepyfile(_SKIPPED)
    suite.runpytest_inprocess("test_a_skip_is_a_skip_outside_ci.py").assert_outcomes(skipped=2)


def test_a_guarded_skip_fails_in_ci(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile(_SKIPPED)
    result = suite.runpytest_inprocess("test_a_guarded_skip_fails_in_ci.py")
    result.assert_outcomes(failed=1, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_skipped_module_fails_in_ci(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile("import pytest\npytest.importorskip('no_such_module_at_all')")
    assert suite.runpytest_inprocess().ret != pytest.ExitCode.OK


def test_a_vanished_kind_of_test_fails_in_ci(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    suite.makepyfile("def test_something(): pass")
    result = suite.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*no test ran of: browser, supervisor, processes*"])

"""Handler modules become a registry, or one line that says what is wrong with them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orpheus.errors import EXIT_CONFIGURATION, ConfigurationError
from orpheus.handlers.loader import load_registry
from orpheus.handlers.registry import Registry


@dataclass
class Project:
    """A folder of handler modules, first on `sys.path`, forgotten after the test."""

    root: Path
    handlers: tuple[str, ...] = ()

    def write(self, path: str, source: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source), encoding="utf-8")

    def load(self, *handlers: str) -> Registry:
        self.handlers = handlers
        return load_registry(self)

    def refusal(self, *handlers: str) -> str:
        with pytest.raises(ConfigurationError) as caught:
            self.load(*handlers)
        assert caught.value.exit_code == EXIT_CONFIGURATION
        assert "\n" not in str(caught.value)
        return str(caught.value)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield Project(tmp_path)
    for name in set(sys.modules) - before:
        if not name.startswith("orpheus"):
            del sys.modules[name]


ONE = """
    from orpheus import job

    @job
    def {name}() -> None:
        pass
    """


def test_the_built_in_types_are_always_there(project: Project) -> None:
    assert project.load().names() == ("sum_range", "wordcount")


def test_the_samples_are_a_module_like_any_other(project: Project) -> None:
    names = project.load("orpheus.handlers.samples").names()
    samples = {"sleep", "asleep", "flaky", "fail", "crash", "countdown"}
    assert set(names) == samples | {"sum_range", "wordcount"}


def test_the_root_comes_first_on_the_path(project: Project) -> None:
    project.write("colorsys.py", ONE.format(name="mine"))
    sys.modules.pop("colorsys", None)
    assert "mine" in project.load("colorsys").names()
    assert sys.path[0] == str(project.root)
    project.load()
    assert sys.path.count(str(project.root)) == 1


def test_types_come_from_submodules_and_imported_functions_too(project: Project) -> None:
    project.write("shop/__init__.py", "from shop import images\nfrom elsewhere import borrowed\n")
    project.write("shop/images.py", ONE.format(name="resize"))
    project.write("elsewhere.py", ONE.format(name="borrowed"))
    registry = project.load("shop", "shop.images")
    assert {"resize", "borrowed"} <= set(registry.names())
    job_type = registry.get("resize")
    assert job_type is not None
    assert job_type.source == "shop.images:4"


def test_two_registries_know_nothing_of_each_other(project: Project) -> None:
    project.write("mine.py", ONE.format(name="mine"))
    project.load("mine")
    assert "mine" not in project.load().names()


@pytest.mark.parametrize("module", ["nowhere", "no.where"])
def test_a_missing_module_is_named_with_the_place_looked_in(project: Project, module: str) -> None:
    message = project.refusal(module)
    assert f"handler module {module!r} cannot be imported: ModuleNotFoundError" in message
    assert str(project.root) in message


@pytest.mark.parametrize(
    ("source", "line", "cause"),
    [
        ("x = 1\ny = x / 0\n", 2, "ZeroDivisionError: division by zero"),
        ("x = 1\n\ndef f(:\n", 3, "SyntaxError"),
        ("import sys\nsys.exit(4)\n", 2, "SystemExit: 4"),
        ("import not_installed_anywhere\n", 1, "ModuleNotFoundError"),
        ("from orpheus import job\n\n@job(timeout=-1)\ndef f() -> None: ...\n", 3, "timeout"),
        ("from orpheus import jobb\n", 1, "ImportError"),
        ("raise ValueError('two\\nlines')\n", 1, "ValueError: two lines"),
    ],
)
def test_a_failing_import_names_module_line_and_cause(
    project: Project, source: str, line: int, cause: str
) -> None:
    project.write("broken.py", source)
    message = project.refusal("broken")
    assert "handler module 'broken' cannot be imported" in message
    assert f"{project.root / 'broken.py'}, line {line}: " in message
    assert cause in message


def test_a_failing_import_names_the_line_that_failed_not_the_one_that_led_there(
    project: Project,
) -> None:
    project.write("outer.py", "import inner\n")
    project.write("inner.py", "\n\nraise OSError('no camera')\n")
    assert f"{project.root / 'inner.py'}, line 3: OSError: no camera" in project.refusal("outer")


def test_a_type_registered_twice_names_both_places(project: Project) -> None:
    project.write("one.py", ONE.format(name="same"))
    project.write("two.py", "\n\n" + textwrap.dedent(ONE.format(name="same")))
    message = project.refusal("one", "two")
    assert "'same' is registered twice: at one:4 and at two:6" in message


def test_a_type_registered_twice_in_one_module_is_seen(project: Project) -> None:
    project.write("one.py", ONE.format(name="same") + ONE.format(name="same"))
    assert "'same' is registered twice: at one:4 and at one:10" in project.refusal("one")


def test_one_function_may_handle_two_types(project: Project) -> None:
    project.write(
        "one.py",
        """
        from orpheus import job

        def double(n: int) -> int:
            return 2 * n

        job("a")(double)
        job("b", timeout=5)(double)
        """,
    )
    assert {"a", "b"} <= set(project.load("one").names())


def test_a_built_in_name_is_taken(project: Project) -> None:
    project.write("one.py", ONE.format(name="wordcount"))
    assert "at orpheus.handlers.builtin:" in project.refusal("one")


def test_a_signature_that_is_no_payload_names_type_and_place(project: Project) -> None:
    project.write(
        "one.py",
        """
        from orpheus import job

        @job
        def many(*numbers: int) -> None:
            pass
        """,
    )
    message = project.refusal("one")
    assert "job type 'many' at one:4: its parameter 'numbers' collects positions" in message


def test_annotations_may_name_what_comes_later(project: Project) -> None:
    project.write(
        "one.py",
        """
        from __future__ import annotations
        from dataclasses import dataclass
        from orpheus import Context, job

        @job
        def later(point: Point, ctx: Context) -> Point:
            return point

        @dataclass
        class Point:
            x: int
        """,
    )
    job_type = project.load("one").get("later")
    assert job_type is not None
    assert list(job_type.schema["properties"]) == ["point"]

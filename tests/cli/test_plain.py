"""Command lines that are read without typer are read as typer reads them."""

import importlib
import inspect
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import FunctionType
from typing import Any
from unittest.mock import patch

import pytest
import typer
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dtanalyze.cli.call import Call
from dtanalyze.cli.commands import COMMANDS
from dtanalyze.cli.groups import GroupedCommand, SettledCommand, grouped
from dtanalyze.cli.plain import _Shape, plain_call
from dtanalyze.cli.settings import may_have_settings

ROOT = Path(__file__).parents[2]
PLAIN = tuple(name for name in COMMANDS if name not in ("verify", "collect"))
"""The others take arguments that may be missing."""


def command_of(name: str) -> tuple[FunctionType, bool]:
    module = importlib.import_module(f"dtanalyze.cli.{name}")
    return module.command, hasattr(module, "SETTINGS")


def by_typer(name: str, words: list[str]) -> dict[str, Any]:
    """Return what typer hands to a command."""
    command, settled = command_of(name)
    seen: list[dict[str, Any]] = []

    def fake(**given: Any) -> None:
        seen.append(given)

    fake.__signature__ = inspect.signature(command)  # type: ignore[attr-defined]
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    app.command(cls=SettledCommand if settled else GroupedCommand)(grouped(fake))
    with patch("dtanalyze.cli.groups.settled", lambda _: None):  # no file is read here: the words alone are compared
        app(words, standalone_mode=False)
    (found,) = seen
    return found


def as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def comparable(given: dict[str, Any]) -> dict[str, Any]:
    """Return what was handed over, less what only typer says: its own options, and what has its default."""
    out = {}
    for name, value in given.items():
        if isinstance(value, Call):
            known = {item.param: item for item in value.known if item.spelled.startswith("-")}
            origins = {name for name, origin in value.origins.items() if origin == "COMMANDLINE" and name in known}
            out[name] = (origins, value.order, {param: (known[param], as_tuple(value.values[param])) for param in origins})
        else:
            out[name] = value
    return out


@cache
def spelled(name: str) -> list[str]:
    return sorted(_Shape(command_of(name)[0]).spelled)


WORDS = st.sampled_from(
    [
        "a.dtb",
        "b/c.dtb",
        "-",
        "",
        "0",
        "007",
        "12",
        "-1",
        "1.5",
        "text",
        "json",
        "a=b",
        "=",
        "x,y",
        "--",
        "-h",
        "-x",
        "é",
        "@l",
    ]
)


@cache
def lines(name: str) -> st.SearchStrategy[list[str]]:
    option = st.sampled_from(spelled(name))
    apart = st.tuples(option, WORDS).map(list)
    joined = st.builds(lambda first, second: [f"{first}={second}"], option, WORDS)
    known = st.one_of(apart, apart, joined, option.map(lambda item: [item]), WORDS.map(lambda item: [item]))
    return st.lists(known, max_size=5).map(lambda parts: [word for part in parts for word in part])


@settings(max_examples=400)
@given(st.one_of([st.tuples(st.just(name), lines(name)) for name in PLAIN]))
def test_as_typer_reads_it(drawn: tuple[str, list[str]]) -> None:
    name, words = drawn
    command, _ = command_of(name)
    found = plain_call(command, words, settings=False)
    event("plain" if found is not None else "left to typer")
    if found is not None:
        assert comparable(found) == comparable(by_typer(name, words))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("check", ["a.dtb"]),
        ("check", ["a.dtb", "-", "--linux", "6.12", "--request", "1", "--request=65536", "--explain", "-o", "x"]),
        ("check", ["-q", "a.dtb", "--no-kaslr", "--timeout", "1.5", "--format=json", "-j", "2", "--xen", "all"]),
        ("predict", ["a.dtb", "--emit-dtb", "out.dtb", "--no-ext-regions"]),
        ("diff", ["a.dtb", "--fail-on", "never", "b.dtb"]),
        ("rules", []),
        ("explain", ["X08", "V-conflict"]),
    ],
)
def test_usual_calls_need_no_typer(name: str, words: list[str]) -> None:
    found = plain_call(command_of(name)[0], words, settings=False)
    assert found is not None
    assert comparable(found) == comparable(by_typer(name, words))


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a.dtb", "--help"],
        ["a.dtb", "-h"],
        ["--", "a.dtb"],
        ["a.dtb", "--linux"],
        ["a.dtb", "--linux", "--quiet"],
        ["a.dtb", "--quiet=1"],
        ["a.dtb", "--request", "x"],
        ["a.dtb", "--request", "²"],
        ["a.dtb", "--timeout", "nan"],
        ["a.dtb", "--lin", "6.12"],
        ["a.dtb", "-qv"],
        ["a.dtb", "-oout"],
        ["a.dtb", "--debug"],
    ],
)
def test_what_is_not_plain_is_left_to_typer(words: list[str]) -> None:
    assert plain_call(command_of("check")[0], words, settings=True) is None


def test_settings_are_left_to_typer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command, _ = command_of("check")
    assert plain_call(command, ["a.dtb"], settings=True) is not None
    monkeypatch.setenv("DTANALYZE_LINUX", "6.1")
    assert plain_call(command, ["a.dtb"], settings=True) is None
    monkeypatch.delenv("DTANALYZE_LINUX")
    (tmp_path / "dtanalyze.toml").write_text('linux = "6.1"\n')
    assert plain_call(command, ["a.dtb"], settings=True) is None


@pytest.mark.parametrize(
    ("text", "maybe"),
    [
        ("[tool.dtanalyze]\n", True),
        ('[ tool . "dtanalyze" ]\n', True),
        ("[tool.dtanalyze.suppress]\n", True),
        ('tool.dtanalyze.linux = "6.1"\n', True),
        ('[tool]\ndtanalyze = {linux = "6.1"}\n', True),
        ("tool = {dtanalyze = {}}\n", True),
        ('["tool"."dtan\\u0061lyze"]\n', True),
        ('[project.scripts]\ndtanalyze = "dtanalyze:run"\n[tool.setuptools]\ninclude = ["dtanalyze*"]\n', False),
        ('[project]\ndependencies = ["dtanalyze"]\n[tool.dtanalyzer]\n', False),
    ],
)
def test_a_project_file_is_read_where_it_may_have_settings(text: str, maybe: bool) -> None:
    assert may_have_settings(text) is maybe


def modules(*args: str) -> list[str]:
    """Return the modules that a run imports."""
    script = (
        "import sys\nfrom dtanalyze.cli import main\ntry:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, cwd=ROOT, check=False)
    return ran.stderr.split()


def test_what_a_guest_needs_not_is_not_imported() -> None:
    found = modules("check", "fixtures/dtb/boots/01-dom0-x420-l612.dtb", "--format", "json")
    assert "dtanalyze.analysis.guest" in found
    for name in (
        "typer",
        "inspect",
        "tomllib",
        "shutil",
        "subprocess",
        "dtanalyze.xen.predict",
        "fdt",
        "pickle",
        "tempfile",
    ):
        assert name not in found


def test_typer_says_what_is_wrong() -> None:
    found = modules("check", "--nothing")
    assert "typer" in found

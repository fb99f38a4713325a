"""The layers as contracts, kept by import-linter (``pyproject.toml``), and what it cannot say, read from the sources with ``ast``.

The arrow runs bytes, tree, board, mirrors of Xen and Linux, facts, report; nothing earlier consults anything later, and
the two mirrors meet only as data.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

import dtanalyze

PACKAGE = Path(dtanalyze.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


@cache
def nodes(name: str) -> tuple[ast.AST, ...]:
    """Every node of a module's source."""
    return tuple(ast.walk(TREES[name]))


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_the_contracts_of_who_may_import_whom_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of ``pyproject.toml``, as ``make lint`` reads them."""
    monkeypatch.chdir(PACKAGE.parent)
    assert lint_imports(no_cache=True, no_logo=True) == 0


def test_the_public_names_come_from_few_places() -> None:
    """The root is above all layers: what it imports when a name is asked for stands here."""
    names = {
        (node.module or "").split(".")[1]
        for node in nodes("dtanalyze")
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dtanalyze.")
    }
    assert names <= {"address", "errors", "findings", "library", "linux", "version", "xen"}


@pytest.mark.parametrize("name", SOURCES)
def test_no_module_is_called_after_nothing(name: str) -> None:
    assert not {"utils", "util", "helpers", "helper", "common", "misc"} & set(name.split("."))


@pytest.mark.parametrize("name", SOURCES)
def test_every_module_says_what_it_is(name: str) -> None:
    text = ast.get_docstring(TREES[name])
    # The command line's entry point may speak for itself.
    assert text or name == "dtanalyze.__main__", f"{name} has no docstring"


MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_TYPES = {"list", "dict", "set", "bytearray", "defaultdict", "deque", "Counter", "OrderedDict"}


def is_mutable(value: ast.expr | None) -> bool:
    if isinstance(value, ast.Call):
        called = value.func.value if isinstance(value.func, ast.Subscript) else value.func
        return (called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")) in MUTABLE_TYPES
    return isinstance(value, MUTABLE)


def top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run at import, also below a top-level if, try or with."""
    for statement in body:
        yield statement
        for part in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
                yield from top_level(getattr(statement, part, []))


@pytest.mark.parametrize("name", SOURCES)
def test_module_state_is_a_final_table(name: str) -> None:
    for statement in top_level(TREES[name].body):
        if isinstance(statement, ast.Assign) and is_mutable(statement.value):
            assert [ast.unparse(item) for item in statement.targets] == ["__all__"], f"{name}:{statement.lineno}"
        elif isinstance(statement, ast.AnnAssign) and is_mutable(statement.value):
            kind = ast.unparse(statement.annotation)
            assert kind == "Final" or kind.startswith("Final["), f"{name}:{statement.lineno}: annotate it Final"


@pytest.mark.parametrize(
    ("source", "mutable"),
    [
        ("[1]", True),
        ("{}", True),
        ("dict(a=1)", True),
        ("collections.deque[int]()", True),
        ("(1, 2)", False),
        ("f()", False),
    ],
)
def test_what_counts_as_mutable(source: str, mutable: bool) -> None:
    assert is_mutable(ast.parse(source, mode="eval").body) is mutable


OPENS = {
    "cli.replacing": "writes",
    "cli.cache": "entries of its own, which are no input",
    "cli.limits": "/proc/self/statm",
    "inputs.reading": "the one way in",
    "inputs.trial": "copies what was read into our own temporary folder",
    "inputs.dts": "what a tool lists beside our own temporary file",
    "report.picture.html": "the page's own style and script",
    "xen.refusals": "its own table",
}
"""Every module that opens a file, and which: whatever else is read goes through `inputs.reading`, which looks first."""


@pytest.mark.parametrize("name", SOURCES)
def test_files_are_read_in_one_way(name: str) -> None:
    def opens(node: ast.AST) -> bool:
        if not isinstance(node, ast.Call):
            return False
        if isinstance(node.func, ast.Name):
            return node.func.id == "open"
        # reading.read_text() is that way itself; anything else with these names is pathlib's.
        if not isinstance(node.func, ast.Attribute) or node.func.attr not in ("read_bytes", "read_text"):
            return False
        return not (isinstance(node.func.value, ast.Name) and node.func.value.id == "reading")

    assert any(map(opens, nodes(name))) <= (name.removeprefix("dtanalyze.") in OPENS)


EFFECTS = {"cli", "__main__", "inputs", "library"}


@pytest.mark.parametrize("name", [name for name in SOURCES if layer(name) not in EFFECTS])
def test_side_effects_live_where_files_are_read(name: str) -> None:
    called = {
        node.func.id for node in nodes(name) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"print", "open", "input", "exit", "exec", "eval"}
    assert not any(isinstance(node, ast.Global | ast.Nonlocal) for node in nodes(name))

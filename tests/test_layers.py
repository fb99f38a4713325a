"""The layers as a table: who may import whom, read from the sources with ``ast``.

The arrow runs bytes, tree, board, mirrors of Xen and Linux, facts, report; nothing earlier consults anything later, and
the two mirrors meet only as data.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import dtanalyze

PACKAGE = Path(dtanalyze.__file__).parent
SOURCES = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}

BELOW_BOARD = {"address", "devicetree", "errors"}
BELOW_MIRRORS = {*BELOW_BOARD, "board"}
DATA = {"facts", "findings"}

# Layer: what it may import beside itself. A new layer has to be put in here, and in ARCHITECTURE.md.
MAY_IMPORT = {
    "": {
        "address",
        "errors",
        "findings",
        "library",
        "linux",
        "version",
        "xen",
    },  # what it exports, each name imported when used
    "__main__": {"cli", "version"},
    "version": set(),
    "errors": set(),
    "address": {"errors"},
    "devicetree": {"address", "errors"},
    "board": BELOW_BOARD,
    "evidence": {"address", "errors"},
    "linux": {*BELOW_MIRRORS, "evidence"},
    "xen": {*BELOW_MIRRORS, "evidence"},
    "findings": {"address", "devicetree"},  # where in the sources something was written
    "facts": {"address", "findings", "linux", "xen"},
    "verdicts": {"address", "linux", "rules", *DATA},
    "causes": {"address", "linux", *DATA},
    "rules": {*BELOW_MIRRORS, "linux", "xen", *DATA},
    "controls": {"address", "errors", "linux", "rules", "verdicts", *DATA},
    "analysis": {*BELOW_MIRRORS, "evidence", "linux", "xen", "verdicts", "causes", "rules", *DATA},
    "report": {"address", "board", "errors", "linux", "xen", "rules", "controls", "causes", *DATA},
    "inputs": {"address", "devicetree", "errors", "evidence"},
    "library": {
        "version",
        *BELOW_MIRRORS,
        "linux",
        "xen",
        "rules",
        "causes",
        "controls",
        "analysis",
        "report",
        "inputs",
        "evidence",
        *DATA,
    },
    "cli": {
        "version",
        *BELOW_MIRRORS,
        "linux",
        "xen",
        "rules",
        "verdicts",
        "causes",
        "controls",
        "analysis",
        "report",
        "inputs",
        "evidence",
        *DATA,
    },
}

# Modules with one reader or writer each: who may import them at all.
ONLY_BY = {
    "dtanalyze.devicetree.blob": {
        "dtanalyze.analysis",  # bytes come in here …
        "dtanalyze.cli",
        "dtanalyze.inputs",
        "dtanalyze.library",
        "dtanalyze.devicetree.containers",
        "dtanalyze.xen",  # … and what Xen would write is read again, so that its offsets are real
    },
    "dtanalyze.devicetree.write": {
        "dtanalyze.devicetree.overlay",
        "dtanalyze.analysis.faults",
        "dtanalyze.analysis.host_faults",
        "dtanalyze.analysis.partial",
        "dtanalyze.analysis.editing",
        "dtanalyze.inputs.collecting",
        "dtanalyze.xen.guest_tree",
        "dtanalyze.xen.dom0_tree",
        "dtanalyze.xen.partial_tree",
        "dtanalyze.xen.libxl",
        "dtanalyze.xen.domu_tree",
        "dtanalyze.xen.efi_stub",
    },
    "fdt": {"dtanalyze.devicetree.source"},
    "intervaltree": {"dtanalyze.linux"},
    "typer": {"dtanalyze.cli"},
    "struct": {"dtanalyze.devicetree"},
    "sys": {"dtanalyze.cli", "dtanalyze.inputs", "dtanalyze.__main__"},
    "os": {"dtanalyze.cli", "dtanalyze.inputs", "dtanalyze.library", "dtanalyze.__main__"},
    "pathlib": {"dtanalyze.cli", "dtanalyze.inputs", "dtanalyze.library"},
    "subprocess": {"dtanalyze.inputs.confined"},
    "logging": set(),
}

TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}


def imported(name: str) -> Iterator[str]:
    """Every module that ``name`` imports, also inside functions; names imported from a package count as modules."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            assert node.module is not None
            whole = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from ([item for item in whole if item in SOURCES] or [node.module])


def layer(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def test_the_table_names_every_layer() -> None:
    assert {layer(name) for name in SOURCES} == set(MAY_IMPORT)


@pytest.mark.parametrize("name", SOURCES)
def test_imports_keep_to_the_table(name: str) -> None:
    own = layer(name)
    for other in imported(name):
        if within(other, "dtanalyze") and layer(other) != own:
            assert layer(other) in MAY_IMPORT[own], f"{own or 'dtanalyze'} must not import {other}"


@pytest.mark.parametrize("name", SOURCES)
def test_single_doors(name: str) -> None:
    for other in imported(name):
        for guarded, allowed in ONLY_BY.items():
            if within(other, guarded) and not within(name, guarded):
                assert any(within(name, item) for item in allowed), f"{name} must not import {other}"


def test_linux_and_xen_meet_only_as_data() -> None:
    for name in SOURCES:
        if layer(name) in ("linux", "xen"):
            other = {"linux": "dtanalyze.xen", "xen": "dtanalyze.linux"}[layer(name)]
            assert not [item for item in imported(name) if within(item, other)], name


def test_the_table_has_no_way_back() -> None:
    done: set[str] = set()
    while left := set(MAY_IMPORT) - done:
        free = {item for item in left if MAY_IMPORT[item] - {item} <= done}
        assert free, f"these import in a circle: {sorted(left)}"
        done |= free


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

    assert any(map(opens, ast.walk(TREES[name]))) <= (name.removeprefix("dtanalyze.") in OPENS)


EFFECTS = {"cli", "__main__", "inputs", "library"}


@pytest.mark.parametrize("name", [name for name in SOURCES if layer(name) not in EFFECTS])
def test_side_effects_live_where_files_are_read(name: str) -> None:
    called = {
        node.func.id for node in ast.walk(TREES[name]) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert not called & {"print", "open", "input", "exit", "exec", "eval"}
    assert not any(isinstance(node, ast.Global | ast.Nonlocal) for node in ast.walk(TREES[name]))

"""``python -m tests.mutation [--per-file N] [--seed S] [FILE...]``: whether the tests notice when the program says something else.

Mutants of the mirrors, the rules and the writers: one comparison, operator, number, condition or statement each, drawn by a
seed. A mutant is killed when the tests of its area fail on it. Survivors are listed as what was there and what stood in its
place; someone has to judge each: a test is missing, or the two mean the same.

The files of the repository are never touched: each mutant lives in a copy of its own.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
TESTS: Final = {
    "dtanalyze/address": ("tests/address",),
    "dtanalyze/devicetree": ("tests/devicetree", "tests/board"),
    "dtanalyze/board": ("tests/board", "tests/linux/test_boots.py"),
    "dtanalyze/linux": ("tests/linux",),
    "dtanalyze/xen": ("tests/xen",),
    "dtanalyze/rules": ("tests/rules", "tests/linux/test_boots.py", "tests/test_findings_pinned.py"),
}
"""Which tests answer for which folder, the quickest to fail first."""
SECONDS: Final = 240

COMPARISONS: Final[dict[type[ast.cmpop], type[ast.cmpop]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
OPERATORS: Final[dict[type[ast.operator], type[ast.operator]]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Mod: ast.Add,
}  # fmt: skip


class Mutant(NamedTuple):
    """One change: the file, the line, what stood there and what stands there now, and the whole new source."""

    path: Path
    line: int
    before: str
    after: str
    source: str


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of one node."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS:
        yield ast.Compare(node.left, [COMPARISONS[type(node.ops[0])](), *node.ops[1:]], node.comparators)
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        yield ast.BinOp(node.left, OPERATORS[type(node.op)](), node.right)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.And() if isinstance(node.op, ast.Or) else ast.Or(), node.values)
        yield node.values[0]
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.If | ast.While):
        yield type(node)(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.Continue | ast.Break | ast.AugAssign) or (
        isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
    ):
        yield ast.Pass()


def _sites(tree: ast.Module) -> list[ast.AST]:
    """Return the nodes inside functions: what a module says of itself (rules' texts, tables) is data, read elsewhere."""
    found: dict[int, ast.AST] = {}
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef):
            for statement in function.body:
                found.update((id(node), node) for node in ast.walk(statement))
    return list(found.values())


class _Swap(ast.NodeTransformer):
    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        return self.new if node is self.old else self.generic_visit(node)


def places(path: Path) -> list[tuple[int, int]]:
    """Return every possible change of a file: the place of the node, and which of its changes."""
    sites = _sites(ast.parse(path.read_text(encoding="utf-8")))
    return [(place, number) for place, node in enumerate(sites) for number, _ in enumerate(_changes(node))]


def mutant(path: Path, place: int, number: int) -> Mutant:
    """Return the file with one change."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    node = _sites(tree)[place]
    new = list(_changes(node))[number]
    before = ast.unparse(node).splitlines()[0]
    after = ast.unparse(ast.fix_missing_locations(ast.copy_location(new, node))).splitlines()[0]
    changed = ast.fix_missing_locations(_Swap(node, new).visit(tree))
    return Mutant(path, getattr(node, "lineno", 0), before, after, ast.unparse(changed))


def sampled(paths: list[Path], per_file: int, seed: int) -> Iterator[Mutant]:
    """Yield ``per_file`` mutants of each file, the same for the same seed."""
    for path in paths:
        chance = random.Random(f"{seed} {path.relative_to(ROOT)}")
        found = places(path)
        for place, number in sorted(chance.sample(found, min(per_file, len(found)))):
            yield mutant(path, place, number)


def tests_of(path: Path) -> list[str]:
    """Return the tests that answer for a file: those that carry its name first, then those of its folder."""
    relative = path.relative_to(ROOT)
    named = sorted(str(item.relative_to(ROOT)) for item in (ROOT / "tests").rglob(f"test_{path.stem}*.py"))
    listed = next(tests for folder, tests in TESTS.items() if relative.is_relative_to(folder))
    return [*named, *(item for item in listed if (ROOT / item).exists())]


def survives(item: Mutant, copy: Path) -> bool:
    """Tell whether the tests pass although the file in ``copy`` is another one; the file is put back."""
    target = copy / item.path.relative_to(ROOT)
    original = target.read_text(encoding="utf-8")
    target.write_text(item.source, encoding="utf-8")
    argv = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests_of(item.path)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(copy)}
    try:
        ran = subprocess.run(argv, cwd=copy, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False  # one that hangs is noticed
    finally:
        target.write_text(original, encoding="utf-8")
    return ran.returncode == 0


def main(argv: list[str]) -> int:
    """Try mutants and list the survivors; leave with status 1 when there are any."""
    asked = argparse.ArgumentParser(prog="tests.mutation", description="Whether the tests notice a changed program.")
    asked.add_argument("--per-file", type=int, default=1, help="mutants of each file (1)")
    asked.add_argument("--seed", type=int, default=1, help="another seed draws other mutants (1)")
    asked.add_argument("files", nargs="*", type=Path, help="files below dtanalyze/; all of the areas without any")
    given = asked.parse_args(argv)
    files = [item.resolve() for item in given.files] or [
        item for folder in TESTS for item in sorted((ROOT / folder).glob("*.py")) if item.name != "__init__.py"
    ]
    tried, alive = 0, []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", "__pycache__", ".*cache", ".hypothesis"))
        for item in sampled(files, given.per_file, given.seed):
            tried += 1
            if survives(item, copy):
                alive.append(item)
                print(f"{item.path.relative_to(ROOT)}:{item.line}: {item.before}  ->  {item.after}", flush=True)
    print(f"{tried} mutants, {tried - len(alive)} killed, {len(alive)} survive")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

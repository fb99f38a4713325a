"""``python -m tests.fuzz.agreement [--mutants N] [--seed S]``: the reader against libfdt's full check, on damaged blobs.

What libfdt refuses has to be refused, what both take has to be the same tree, and what only the reader refuses has to be of a
kind that docs/safety.md names. The first blob that breaks this is written to ``fuzz/`` and ends the run with status 1.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.errors import BlobError
from tests.conftest import FIXTURES
from tests.fuzz.flat import damaged, pieces
from tests.fuzz.libfdt import Flat, Libfdt, Properties, library

__all__ = ["STRICTER", "compared"]

STRICTER: Final = {
    "format versions below 16": r"format version (\d|1[0-5]) \(compatible with \d+\) is not supported",
    "names that are no printable ASCII": r"a (node|property)'s name has a character that no name may have",
    "empty names": r"a (node|property) has an empty name",
    "names above 255 characters": r"a (node|property)'s name is longer than 255 characters",
    "names outside the strings block": r"a property's name (lies outside|runs past the end of) the strings block",
    "properties behind subnodes": r"a property of \S+ follows its subnodes",
    "properties outside the root": r"a property stands outside every node",
    "no root at all": r"the tree has no root node",
    "reservations of size zero": r"memory reservation \d+ at 0x[0-9a-f]+ has size zero",
    "a reservation block at an odd place": r"the memory reservation block starts at \S+, which is not a multiple of 8",
    "blocks that overlap": r"the .* and the .* overlap",
    "more than a real tree has": r"nested deeper than 64|more than \d+ (nodes|properties|memory reservations)|larger than \d+ MiB",
}
"""What the reader refuses and libfdt does not, as docs/safety.md calls it, and what is said."""
_TRUNCATED_VALUE: Final = "more than the structure block has left"
"""libfdt before 1.7 does not look; that it does now is no strictness of ours."""


class DisagreementError(Exception):
    """The reader and libfdt make different things of one blob."""


def _first(properties: Properties) -> Properties:
    """Leave out a property that stands a second time: both find it by name at its first place."""
    found: dict[bytes, bytes] = {}
    for name, value in properties:
        found.setdefault(name, value)
    return tuple(found.items())


def _nodes(node: Node, depth: int = 0) -> Iterator[tuple[int, bytes, Properties]]:
    properties = tuple((item.name.encode(), item.value) for item in node.properties.values())
    yield depth, node.name.encode(), properties
    for child in node.children:
        yield from _nodes(child, depth + 1)


def _flat(tree: Tree) -> Flat:
    return Flat(tuple(_nodes(tree.root)), tuple((raw.start, raw.size) for raw, _ in tree.reservations), tree.boot_cpuid)


def _read(data: bytes) -> Tree | str:
    try:
        return parse(data)
    except BlobError as error:
        return str(error)


def compared(data: bytes, theirs: Libfdt) -> str:
    """Return ``same``, ``both refuse`` or the kind of `STRICTER`; raise `DisagreementError` at anything else."""
    ours = _read(data)
    kind = next((kind for kind, said in STRICTER.items() if isinstance(ours, str) and re.search(said, ours)), None)
    if kind == "format versions below 16":  # libfdt 1.6.1 can die of them
        return kind
    if error := theirs.check(data):
        if isinstance(ours, str):
            return "both refuse"
        raise DisagreementError(f"libfdt refuses it (error {error}), the reader takes it")
    if isinstance(ours, Tree):
        flat = theirs.read(data)
        nodes = tuple((depth, name, _first(properties)) for depth, name, properties in flat.nodes)
        if _flat(ours) != flat._replace(nodes=nodes):
            raise DisagreementError("both take it, as different trees")
        return "same"
    if kind is None and _TRUNCATED_VALUE not in ours:
        raise DisagreementError(f"no kind of strictness holds what only the reader refuses: {ours}")
    return kind or "values that are cut off (libfdt before 1.7)"


def main(argv: list[str]) -> int:
    """Compare mutants of every shipped tree."""
    asked = argparse.ArgumentParser(prog="tests.fuzz.agreement", description="The reader against libfdt, on damaged blobs.")
    asked.add_argument("--mutants", type=int, default=20_000, help="how many blobs (20000)")
    asked.add_argument("--seed", type=int, default=1, help="another seed draws other mutants (1)")
    given = asked.parse_args(argv)
    theirs = library()
    if theirs is None:
        print("== libfdt is not there (Debian: libfdt1; or name one in LIBFDT): NOTHING IS COMPARED")
        return 2
    good = [pieces(path.read_bytes()) for path in sorted((FIXTURES / "dtb").glob("*/*.dtb"))]
    chance, seen, began = random.Random(given.seed), Counter[str](), time.process_time()
    for _ in range(given.mutants):
        data = damaged(chance.choice(good), chance)
        try:
            seen[compared(data, theirs)] += 1
        except DisagreementError as error:
            Path("fuzz").mkdir(exist_ok=True)
            Path("fuzz/disagreement.dtb").write_bytes(data)
            print(f"{error}: fuzz/disagreement.dtb")
            return 1
    for kind, count in seen.most_common():
        print(f"{count:8} {kind}")
    print(
        f"{given.mutants} mutants, {time.process_time() - began:.0f} s: nothing taken that libfdt refuses, no tree read differently"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

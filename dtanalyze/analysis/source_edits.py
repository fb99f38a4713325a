"""Changes of a tree as changes of the files that it was compiled from.

Where a property was written is known from the compiler, and what the files say comes in as bytes: nothing is read or written
here. That the changed files make the changed tree is for the caller to try, by compiling them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from dtanalyze.analysis.editing import changed
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.source_map import Place, SourceMap
from dtanalyze.devicetree.source_text import (
    Splice,
    added_node,
    added_property,
    changed_property,
    removed_property,
    spliced,
)
from dtanalyze.devicetree.tree import Node
from dtanalyze.errors import SourceTextError
from dtanalyze.facts import Edit, Rewritten
from dtanalyze.rules.cures.changes import body_lines

__all__ = ["makes", "place_of", "rewritten"]


def place_of(edit: Edit, places: SourceMap) -> Place:
    """Return where an edit is made: the property's statement, else the body of the node that gets it.

    Raises `SourceTextError` where no source says it.
    """
    change = edit.change
    if edit.old is not None:
        found = places.properties.get((change.node, change.prop))
        if found is None:
            raise SourceTextError("no source says it: dtc makes it")
        return found
    bodies = places.nodes.get(edit.anchor)
    if not bodies:
        raise SourceTextError(f"no source has the node {edit.anchor}")
    return bodies[-1]


def rewritten(
    edits: Iterable[Edit], places: SourceMap, files: Mapping[str, bytes], earlier: frozenset[Edit]
) -> tuple[Rewritten, ...]:
    """Return each file with all the edits that are made in it.

    ``earlier`` are edits that take away what was said before in another place too. Raises `SourceTextError`.
    """
    splices: dict[str, list[Splice]] = {}
    for file, splice in _splices(tuple(edits), places, files, earlier):
        splices.setdefault(file, []).append(splice)
    return tuple(
        Rewritten(file, files[file], spliced(_text(files[file]), found).encode("latin-1"))
        for file, found in sorted(splices.items())
    )


def makes(before: bytes, edits: Iterable[Edit], after: bytes) -> bool:
    """Whether ``after`` is the tree ``before`` with exactly these edits, however their bytes are laid out."""
    wanted = parse(changed(before, [edit.change for edit in edits]))
    return _content(wanted.root) == _content(parse(after).root)


def _content(root: Node) -> dict[tuple[str, str], bytes]:
    return {(node.path, name): prop.value for node in root for name, prop in node.properties.items()} | {
        (node.path, ""): b"" for node in root
    }


def _splices(
    edits: tuple[Edit, ...], places: SourceMap, files: Mapping[str, bytes], earlier: frozenset[Edit]
) -> Iterator[tuple[str, Splice]]:
    made = [edit for edit in edits if edit.anchor != edit.change.node]
    for edit in edits:
        if edit in made:
            continue
        place, change = place_of(edit, places), edit.change
        text = _text(files[place.file])
        if edit.old is None:
            yield place.file, added_property(text, place, change.statement)
        elif change.value is None:
            yield place.file, removed_property(text, place, change.prop, earlier=edit in earlier)
        else:
            yield place.file, changed_property(text, place, change.prop, edit.old, change.value, change.statement)
    for anchor, found in groupby(sorted(made, key=lambda edit: edit.anchor), key=lambda edit: edit.anchor):
        inside = list(found)
        place = place_of(inside[0], places)
        lines = list(body_lines(anchor, [edit.change for edit in inside]))
        yield place.file, added_node(_text(files[place.file]), place, lines)


def _text(data: bytes) -> str:
    return data.decode("latin-1")

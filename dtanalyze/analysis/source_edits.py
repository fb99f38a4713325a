"""Changes of a tree as changes of the files that it was compiled from.

Where a property was written is known from the compiler, and what the files say comes in as bytes: nothing is read or written
here. That the changed files make the changed tree is for the caller to try, by compiling them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from dtanalyze.analysis.editing import changed
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.source_map import Place, SourceMap
from dtanalyze.devicetree.source_text import (
    Splice,
    added_block,
    added_node,
    added_property,
    changed_property,
    label_at,
    removed_property,
    spliced,
)
from dtanalyze.devicetree.tree import Node
from dtanalyze.errors import SourceTextError
from dtanalyze.facts import Edit, Rewritten
from dtanalyze.rules.cures.changes import body_lines

__all__ = ["files_of", "makes", "rewritten"]


class _Spot(NamedTuple):
    """Where an edit is made: at a statement or in a node's body, or in a block of its own at the end of ``block_in``."""

    place: Place
    block_in: str | None = None

    @property
    def files(self) -> set[str]:
        """The files whose text decides."""
        return {self.place.file, *([self.block_in] if self.block_in is not None else [])}


def _spot(edit: Edit, places: SourceMap, own: str | None) -> _Spot:
    """Return where an edit is made: the property's statement, else the node that gets it.

    What is added goes into ``own``, the board's own file: an include serves other boards too. Without one it goes where the
    node was last written. Raises `SourceTextError` where no source says it.
    """
    change = edit.change
    if edit.old is not None:
        found = places.properties.get((change.node, change.prop))
        if found is None:
            raise SourceTextError("no source says it: dtc makes it")
        return _Spot(found)
    bodies = places.nodes.get(edit.anchor)
    if not bodies:
        raise SourceTextError(f"no source has the node {edit.anchor}")
    inside = [body for body in bodies if body.file == own]
    return _Spot(inside[-1]) if inside else _Spot(bodies[-1], own)


def files_of(edits: Iterable[Edit], places: SourceMap, own: str | None) -> set[str]:
    """Return the files whose text the edits need; raise `SourceTextError` where no source says one."""
    return {file for edit in edits for file in _spot(edit, places, own).files}


def rewritten(
    edits: Iterable[Edit], places: SourceMap, files: Mapping[str, bytes], earlier: frozenset[Edit], own: str | None = None
) -> tuple[Rewritten, ...]:
    """Return each file with all the edits that are made in it.

    ``earlier`` are edits that take away what was said before in another place too, ``own`` is the board's own file, which
    gets what is added. Raises `SourceTextError`.
    """
    splices: dict[str, list[Splice]] = {}
    for file, splice in _splices(tuple(edits), places, files, earlier, own):
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
    edits: tuple[Edit, ...],
    places: SourceMap,
    files: Mapping[str, bytes],
    earlier: frozenset[Edit],
    own: str | None,
) -> Iterator[tuple[str, Splice]]:
    blocks: dict[str, tuple[_Spot, list[str]]] = {}
    for anchor, node, inside in _together(edits):
        spot, change = _spot(inside[0], places, own), inside[0].change
        place, text = spot.place, _text(files[spot.place.file])
        lines = list(body_lines(anchor, [edit.change for edit in inside])) if anchor != node else [change.statement]
        if inside[0].old is not None and change.value is None:
            yield place.file, removed_property(text, place, change.prop, earlier=inside[0] in earlier)
        elif inside[0].old is not None and change.value is not None:
            yield place.file, changed_property(text, place, change.prop, inside[0].old, change.value, change.statement)
        elif spot.block_in is not None:
            blocks.setdefault(anchor, (spot, []))[1].extend(lines)
        elif anchor != node:
            yield place.file, added_node(text, place, lines)
        else:
            yield place.file, added_property(text, place, change.statement)
    for anchor, (spot, lines) in blocks.items():
        if spot.block_in is not None:
            yield spot.block_in, added_block(_text(files[spot.block_in]), _reference(anchor, spot.place, files), lines)


def _together(edits: tuple[Edit, ...]) -> Iterator[tuple[str, str, list[Edit]]]:
    """Yield each edit of a node that is there, then those that make new nodes, all below one anchor at once."""
    made = [edit for edit in edits if edit.anchor != edit.change.node]
    yield from ((edit.anchor, edit.change.node, [edit]) for edit in edits if edit not in made)
    for anchor, found in groupby(sorted(made, key=lambda edit: edit.anchor), key=lambda edit: edit.anchor):
        yield anchor, "", list(found)


def _reference(path: str, place: Place, files: Mapping[str, bytes]) -> str:
    """Return how another file speaks of a node: by the label that its body has, else by its path."""
    if path == "/":
        return "/"
    try:
        label = label_at(_text(files[place.file]), place)
    except SourceTextError:  # a macro opens the body
        label = None
    return f"&{label}" if label else f"&{{{path}}}"


def _text(data: bytes) -> str:
    return data.decode("latin-1")

"""``fix`` in the source: each change at the line that says it, tried by compiling before anything is shown or written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from dtanalyze.analysis.source_edits import files_of, makes, rewritten
from dtanalyze.cli.replacing import rewrite_file
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import DtanalyzeError, InputError, SourceTextError, UsageError
from dtanalyze.facts import Edit, Rewritten
from dtanalyze.inputs.dts import Compiled, compiled
from dtanalyze.inputs.reading import MAX_TEXT, read_bytes
from dtanalyze.inputs.sourcing import Sourcing
from dtanalyze.inputs.trial import tried

__all__ = ["SourceFix", "outside", "source_fix", "write_sources"]

_SECONDS: Final = 60.0
_TRIES: Final = 64
_OTHER_TREE: Final = (
    "the changed source would not make the changed tree: the line serves other nodes too, or another line decides"
)


class SourceFix(NamedTuple):
    """The files as they would be, and each edit that no source can say, with the reason."""

    files: tuple[Rewritten, ...]
    left: tuple[tuple[Edit, str], ...]


def source_fix(path: str, edits: Sequence[Edit], sourcing: Sourcing) -> SourceFix:
    """Return what the source at ``path`` and its includes have to say for ``edits``; raise `InputError` for no source."""
    trying = _Trying(path, sourcing)
    possible, left = trying.possible(edits)
    removed = frozenset(item for item in possible if item.change.value is None)
    for trying.own in (path, None):
        for earlier in (frozenset[Edit](), removed):
            files = trying.files(possible, earlier)
            if files is not None:
                return SourceFix(files, tuple(left))
    taken, refused = trying.one_by_one(possible)
    return SourceFix(taken, (*left, *((edit, _OTHER_TREE) for edit in refused)))


class _Trying:
    """A source, what it compiles to, and the files that its nodes were written in.

    ``own`` is the file that gets what is added, None for whichever the node was written in.
    """

    def __init__(self, path: str, sourcing: Sourcing) -> None:
        self.own: str | None = path
        self._path, self._sourcing = path, sourcing
        self._made: Compiled = compiled(path, read_bytes(path, MAX_TEXT), sourcing, _SECONDS)
        self._tree = parse(self._made.blob)
        self._texts: dict[str, bytes] = {}
        self._left = _TRIES

    def possible(self, edits: Sequence[Edit]) -> tuple[list[Edit], list[tuple[Edit, str]]]:
        """Return the edits whose statements are there, and the others with what is wrong."""
        good, bad = [], []
        for edit in edits:
            try:
                self._same(edit)
                rewritten([edit], self._made.places, self._files_of([edit]), frozenset(), self.own)
                good.append(edit)
            except (SourceTextError, InputError) as error:
                bad.append((edit, str(error)))
        return good, bad

    def files(self, edits: Sequence[Edit], earlier: frozenset[Edit]) -> tuple[Rewritten, ...] | None:
        """Return the files with all edits when they make the tree that they should; None otherwise."""
        if not edits:
            return ()
        if not self._left:
            return None
        self._left -= 1
        try:
            files = rewritten(edits, self._made.places, self._files_of(edits), earlier, self.own)
            changed = {item.file: item.new for item in files}
            blob = tried(self._path, self._made.files, changed, self._sourcing)
            return files if makes(self._made.blob, edits, blob) else None
        except DtanalyzeError:
            return None

    def one_by_one(self, edits: Sequence[Edit]) -> tuple[tuple[Rewritten, ...], list[Edit]]:
        """Return the files with those edits that can be made beside each other, and the edits that cannot."""
        taken: list[Edit] = []
        earlier: frozenset[Edit] = frozenset()
        files: tuple[Rewritten, ...] = ()
        refused = []
        for edit in edits:
            ways = (earlier, earlier | {edit}) if edit.change.value is None else (earlier,)
            found = next(((made, way) for way in ways if (made := self.files([*taken, edit], way)) is not None), None)
            if found is None:
                refused.append(edit)
            else:
                files, earlier = found
                taken.append(edit)
        return files, refused

    def _same(self, edit: Edit) -> None:
        """Raise `SourceTextError` when the source says something else than the blob that was looked at."""
        node = self._tree.find(edit.change.node)
        prop = node.prop(edit.change.prop) if node is not None else None
        if (prop.value if prop is not None else None) != edit.old:
            raise SourceTextError("the source says something else than the blob: it was compiled from another version")

    def _files_of(self, edits: Sequence[Edit]) -> dict[str, bytes]:
        names = files_of(edits, self._made.places, self.own)
        for name in names - self._texts.keys():
            self._texts[name] = read_bytes(name, MAX_TEXT)
        return {name: self._texts[name] for name in names}


def outside(name: str) -> bool:
    """Whether a file lies outside of the working folder, links followed."""
    top = os.path.realpath(os.getcwd())
    return os.path.commonpath([top, os.path.realpath(name)]) != top


def write_sources(found: SourceFix) -> None:
    """Write the files; raise `UsageError` and write none where one edit has no place or one file is not ours to change."""
    for edit, why in found.left:
        raise UsageError(f"--write: nothing is written: {edit.change.node}: {edit.change.prop}: {why}")
    for item in found.files:
        if outside(item.file):
            raise UsageError(
                f"--write: nothing is written: {item.file} lies outside of the working folder (--diff shows the change)"
            )
    for item in found.files:
        rewrite_file(item.file, item.old, item.new)

"""Where in the sources each node and property of a compiled tree was written.

Read from what ``dtc -T -T`` prints: a source with the places of every node and property behind it, several of them where
several wrote to one node. What dtc made itself (phandles, symbols) has no place.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

__all__ = ["Place", "Remark", "SourceMap", "read_annotated"]

_PLACE: Final = re.compile(r"(?P<file>.+?):(?P<line>\d+):(?P<column>\d+)-(?P<last_line>\d+):(?P<last_column>\d+)")
_OPEN, _CLOSE = " /* ", " */"
_LABELS: Final = re.compile(r"^(?:[A-Za-z_][\w]*:\s+)+")


class Place(NamedTuple):
    """A piece of a source file; lines and columns count from 1, ``last_line`` and ``last_column`` are inclusive."""

    file: str
    line: int
    column: int
    last_line: int
    last_column: int

    def __str__(self) -> str:
        """Say it as compilers do, so that editors and terminals open it."""
        return f"{self.file}:{self.line}:{self.column}"


class Remark(NamedTuple):
    """A comment in a source that is addressed to this program: its file, the line that it begins in, and what it says."""

    file: str
    line: int
    text: str


class SourceMap(NamedTuple):
    """The places of nodes by path, the first that opened a node first, and of properties by path and name.

    ``remarks`` are comments for this program, of all files in which something was written. ``unknown`` are nodes (with an
    empty name) and properties that were written where no source is at hand: in an overlay's blob.
    """

    nodes: dict[str, tuple[Place, ...]]
    properties: dict[tuple[str, str], Place]
    remarks: tuple[Remark, ...] = ()
    unknown: frozenset[tuple[str, str]] = frozenset()

    def place(self, node: str, name: str | None = None) -> Place | None:
        """Return where the property stands, else where its node or the nearest node above it was last opened."""
        if name is not None and (node, name) in self.properties:
            return self.properties[node, name]
        if name is not None and (node, name) in self.unknown:
            return None
        while node and (node, "") not in self.unknown:
            found = self.nodes.get(node)
            if found:
                return _opening(found[-1] if name is not None else found[0])
            node = node.rpartition("/")[0] or ("/" if node != "/" else "")
        return None


def _opening(place: Place) -> Place:
    """Return where a node's body begins: what is said of a node stands at one line, not at all that it holds."""
    return place._replace(last_line=place.line, last_column=place.column)


def read_annotated(text: str) -> SourceMap:
    """Return the places in the output of ``dtc -T -T``; lines that carry none are passed over.

    dtc prints a node or a property a line and escapes what strings hold, so that no line is cut by its content.
    """
    found = SourceMap({}, {})
    path: list[str] = []
    for line in text.splitlines():
        # The last comment of a line is dtc's: strings before it may hold what looks like one.
        said, _, comment = line.strip().rpartition(_OPEN) if line.endswith(_CLOSE) else (line.strip(), "", "")
        places = tuple(_places(comment.removesuffix(_CLOSE)))
        if said.endswith("{"):
            path.append(_LABELS.sub("", said[:-1].strip()))
            if places:
                found.nodes[_path(path)] = places
        elif said == "};":
            path = path[:-1]
        elif path and said.endswith(";") and places:
            name = re.split(r"[ ;]", _LABELS.sub("", said), maxsplit=1)[0]
            found.properties[_path(path), name] = places[-1]
    return found


def _path(names: list[str]) -> str:
    return "/" + "/".join(names[1:])


def _places(said: str) -> Iterator[Place]:
    for item in said.split(", "):
        match = _PLACE.fullmatch(item)
        if match:
            line, column, last_line, behind = (int(match[key]) for key in ("line", "column", "last_line", "last_column"))
            # dtc says the column behind the last.
            yield Place(match["file"], line, column, last_line, behind - 1)

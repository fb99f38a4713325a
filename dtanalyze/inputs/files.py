"""What a command is given to read: files, folders, patterns, lists, standard input, and the trees inside what they hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from dtanalyze.errors import DtanalyzeError, InputError, InputFailure, UsageError
from dtanalyze.inputs.reading import StoredFile, read_bytes, read_stdin, read_text
from dtanalyze.inputs.sourcing import Sourcing

if TYPE_CHECKING:  # few inputs are sources or images
    from dtanalyze.devicetree.fit import Image
    from dtanalyze.devicetree.source_map import SourceMap
    from dtanalyze.inputs.dts import Compiled

__all__ = ["Found", "Given", "ImageFile", "Overlay", "Overlays", "content_of", "expanded", "read_overlays", "trees_in"]

T = TypeVar("T")

_MOST_COMBINATIONS: Final = 4096
_MAGIC: Final = b"\xd0\x0d\xfe\xed"
_STDIN: Final = "<stdin>"
_SECONDS: Final = 60.0
_SOURCES: Final = (".dts", ".dtso")
_PLAIN: Final = Sourcing()
_LARGE: Final = 16 << 20
"""Bytes above which a file can only hold trees, and be none."""
_NESTED: Final = 2
"""How deep files may stand in each other: a FIT image that is compressed, a kernel with trees behind it."""


class Given(NamedTuple):
    """One input: what it is called, and its bytes where they are at hand already (those of standard input)."""

    name: str
    data: bytes | None = None

    def read(self) -> bytes | ImageFile:
        """Return its bytes, or a large FIT image opened for seeking; raise `InputError` when they cannot be had."""
        return content_of(self.name) if self.data is None else self.data


class ImageFile(NamedTuple):
    """A FIT image too large to be read whole, and its open file."""

    image: Image
    file: StoredFile


class Found(NamedTuple):
    """A tree in an input: its name, its bytes, those that stand in the file before overlays, and its sources' places."""

    name: str
    data: bytes
    original: bytes
    places: SourceMap | None = None


class Overlay(NamedTuple):
    """An overlay: its name, its blob, and where its source wrote what it holds, where it came as one."""

    name: str
    blob: bytes
    places: SourceMap | None = None


class Overlays(NamedTuple):
    """Overlays in the order in which they are applied; ``matrix`` asks for every combination."""

    items: tuple[Overlay, ...]
    matrix: bool = False

    def choices(self) -> Iterator[tuple[Overlay, ...]]:
        """Yield the combinations to apply, each in the given order."""
        if not self.matrix:
            yield self.items
            return
        for count in range(len(self.items) + 1):
            yield from combinations(self.items, count)


def read_overlays(paths: list[str], matrix: bool, sourcing: Sourcing = _PLAIN) -> Overlays | None:
    """Return the overlays; raise `InputError` or `UsageError` when one cannot be read or they are too many."""
    if not paths:
        if matrix:
            raise UsageError("--overlay-matrix combines overlays: give some with --overlay")
        return None
    if matrix and 2 ** len(paths) > _MOST_COMBINATIONS:
        raise UsageError(
            f"--overlay-matrix: {len(paths)} overlays have {2 ** len(paths)} combinations, at most {_MOST_COMBINATIONS}"
        )
    items = []
    for path in paths:
        try:
            items.append(_overlay(path, sourcing))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return Overlays(tuple(items), matrix)


def _overlay(path: str, sourcing: Sourcing) -> Overlay:
    """Return an overlay; a source (``.dtso``) is compiled."""
    data, name = read_bytes(path), os.path.basename(path)
    if not path.endswith(_SOURCES):
        return Overlay(name, data)
    from dtanalyze.inputs.dts import compiled

    made = compiled(path, data, sourcing, _SECONDS)
    return Overlay(name, made.blob, made.places)


def expanded(paths: list[str]) -> Iterator[Given | InputFailure]:
    """Yield the files that ``paths`` name, in their order; what is found in a folder or by a pattern is sorted."""
    for path in paths:
        yield from _expanded(path, in_list=False)


def _expanded(path: str, *, in_list: bool) -> Iterator[Given | InputFailure]:
    from dtanalyze.inputs.folders import in_folder, is_pattern, matching

    if path == "-":
        yield _stdin()
    elif path.startswith("@") and not in_list:
        yield from _listed(path[1:])
    elif is_pattern(path) and not os.path.lexists(path):
        yield from _files(path, matching(path), "no file matches it")
    elif os.path.isdir(path):
        yield from _files(path, in_folder(path), "no tree is in it (.dtb, .itb, .fit, .dts, or by its first bytes)")
    else:
        yield Given(path)


def _stdin() -> Given | InputFailure:
    try:
        return Given(_STDIN, read_stdin())
    except InputError as error:
        return InputFailure(_STDIN, str(error), None)


def _files(path: str, found: list[str] | list[str | InputFailure], none: str) -> Iterator[Given | InputFailure]:
    if not found:
        yield InputFailure(path, none, None)
    for item in found:
        yield Given(item) if isinstance(item, str) else item


def _listed(path: str) -> Iterator[Given | InputFailure]:
    """Yield what a list names, a path a line, as seen from the list; ``#`` begins a comment. Lists name no lists."""
    try:
        lines = read_text(path).splitlines()
    except InputError as error:
        yield InputFailure(path, str(error), None)
        return
    for number, line in enumerate(lines, 1):
        name = line.partition("#")[0].strip()
        if name.startswith("@"):
            yield InputFailure(path, f"line {number}: a list cannot name another list", None)
        elif "\0" in name:
            yield InputFailure(path, f"line {number}: no file can be called so", None)
        elif name and name != "-":
            yield from _expanded(os.path.join(os.path.dirname(path), name), in_list=True)


def trees_in(
    name: str, data: bytes | ImageFile, overlays: Overlays | None, sourcing: Sourcing = _PLAIN, seconds: float = _SECONDS
) -> Iterator[Found | InputFailure]:
    """Yield every tree in a file, overlays applied.

    A plain blob is handed on as it is. ``sourcing`` says how a source is compiled, ``seconds`` is the CPU time that its
    compilation may take.
    """
    trees: Iterator[tuple[str, bytes | InputFailure]]
    places: SourceMap | None = None
    source: Compiled | None = None
    if isinstance(data, ImageFile):
        trees, source = _closing(_of_image(name, data.image), data.file), _source_of(sourcing, seconds)
    elif name.endswith(_SOURCES):
        from dtanalyze.inputs.dts import compiled

        made = compiled(name, data, sourcing, seconds)
        trees, places = iter(((name, made.blob),)), made.places
    else:
        trees, source = _contained(name, data), _source_of(sourcing, seconds)
    for inner, blob in trees:
        if source is not None and not isinstance(blob, InputFailure):
            places = _joined(source, blob, sourcing.source or "")
        if isinstance(blob, InputFailure):
            yield blob
        elif overlays is None:
            yield Found(inner, blob, blob, places)
        else:
            yield from _overlaid(Found(inner, blob, blob, places), overlays)


def content_of(path: str) -> bytes | ImageFile:
    """Return a file's bytes; a FIT image of more than a tree's size stays open and is read by seeking.

    Raises `InputError`.
    """
    try:
        large = os.path.isfile(path) and os.path.getsize(path) > _LARGE
    except (OSError, ValueError):
        large = False
    if not large:
        return read_bytes(path)
    from dtanalyze.devicetree.fit import read_image

    file = StoredFile(path)
    image = None
    try:
        image = read_image(file)
    finally:
        if image is None:
            file.close()
    return read_bytes(path) if image is None else ImageFile(image, file)


def _joined(source: Compiled, blob: bytes, name: str) -> SourceMap | None:
    """Return the places in a blob's source; None for a blob that is none, which its reader says."""
    from dtanalyze.devicetree.blob import parse
    from dtanalyze.devicetree.joined_places import joined

    try:
        tree = parse(blob)
    except DtanalyzeError:
        return None
    try:
        return joined(source.places, parse(source.blob), tree)
    except InputError as error:
        raise InputError(f"--source {name}: {error}") from error


def _source_of(sourcing: Sourcing, seconds: float) -> Compiled | None:
    """Return the source that the user names for a blob, compiled; one that cannot be is an error."""
    if sourcing.source is None:
        return None
    from dtanalyze.inputs.dts import compiled

    try:
        return compiled(sourcing.source, read_bytes(sourcing.source), sourcing, seconds)
    except InputError as error:
        raise InputError(f"--source {sourcing.source}: {error}") from error


def _contained(name: str, data: bytes, depth: int = 0) -> Iterator[tuple[str, bytes | InputFailure]]:
    size = int.from_bytes(data[4:8], "big")
    several = data[:4] == _MAGIC and len(data) > size and data.find(_MAGIC, max(size, 8)) >= 0
    if (image := _image(data)) is not None:
        yield from _of_image(name, image)
    elif several:
        from dtanalyze.devicetree.containers import split_concatenation

        for number, blob in enumerate(split_concatenation(data), 1):
            yield f"{name}:#{number}", blob
    elif data[:4] == _MAGIC or depth == _NESTED:
        yield name, data
    else:
        yield from _unwrapped(name, data, depth)


def _unwrapped(name: str, data: bytes, depth: int) -> Iterator[tuple[str, bytes | InputFailure]]:
    """Yield the trees of a file that is no tree itself: compressed, a kernel, an image of Android, EFI or U-Boot."""
    from dtanalyze.devicetree.wrappers import unwrapped

    found = unwrapped(data)
    if found is None:
        yield name, data  # the reader says at which byte it is no tree
        return
    for item in found:
        inner = f"{name}:{item.name}" if item.name else name
        if item.problem is not None:
            yield inner, InputFailure(inner, item.problem, None)
        else:
            yield from _contained(inner, item.data, depth + 1)


def _of_image(name: str, image: Image) -> Iterator[tuple[str, bytes | InputFailure]]:
    """Yield the trees of a FIT image, one at a time."""
    from dtanalyze.devicetree.containers import fit_trees

    empty = True
    for item in fit_trees(image):
        inner, empty = f"{name}:{item.name}", False
        yield inner, item.data if item.problem is None else InputFailure(inner, item.problem, None)
    if empty:
        yield name, InputFailure(name, "the image holds no devicetree", None)


def _closing(trees: Iterator[T], file: StoredFile) -> Iterator[T]:
    try:
        yield from trees
    finally:
        file.close()


def _image(data: bytes) -> Image | None:
    if b"images\0" not in data:
        return None
    from dtanalyze.devicetree.fit import InMemory, read_image

    return read_image(InMemory(data))


def _overlaid(tree: Found, overlays: Overlays) -> Iterator[Found | InputFailure]:
    from dtanalyze.devicetree.blob import parse
    from dtanalyze.devicetree.overlaid_places import with_overlay
    from dtanalyze.devicetree.overlay import Overlaid

    for chosen in overlays.choices():
        called, at, places = tree.name, "", tree.places
        try:
            overlaid = Overlaid(parse(tree.original)) if chosen else None
            for item in chosen:
                at = item.name
                called = f"{called}+{at}"
                assert overlaid is not None
                landed = overlaid.apply(parse(item.blob))
                places = with_overlay(places, landed, item.places)
            made = overlaid.blob() if overlaid is not None else tree.original
        except DtanalyzeError as error:
            yield InputFailure(called, f"{at}: {error}" if at else str(error), error.offset)
        else:
            yield Found(called, made, tree.original, places)

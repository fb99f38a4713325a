"""Trees inside other files: blobs one after another, and FIT images.

A FIT image (``.itb``) is itself a tree: nodes of ``/images`` whose ``type`` is ``flat_dt`` hold trees, nodes of
``/configurations`` name one and overlays to be applied to it. Hashes are verified where the image states them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final, NamedTuple

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.compression import unpacked
from dtanalyze.devicetree.fit import FitNode, Image
from dtanalyze.devicetree.overlay import apply_overlay
from dtanalyze.errors import BlobError, ContainerError, OverlayError

__all__ = ["MAGIC", "Inside", "fit_trees", "split_concatenation"]

MAGIC: Final = b"\xd0\x0d\xfe\xed"
_LIMIT: Final = 16 << 20
"""Bytes of one tree: the reader takes no larger one."""
_WHOLE: Final = 256 << 20
"""Bytes that all trees of a file may unpack to: some kilobytes can name gigabytes, often the same ones again."""
_HASHES: Final = ("md5", "sha1", "sha256", "sha384", "sha512")


class Inside(NamedTuple):
    """One tree in a container: what it is called there, and its bytes, or why it cannot be had."""

    name: str
    data: bytes
    problem: str | None = None


def split_concatenation(data: bytes) -> tuple[bytes, ...]:
    """Return the blobs that follow each other in ``data``; what lies between two of them is padding.

    One blob with whatever behind it that is no other is returned as it is.
    """
    out: list[bytes] = []
    at = 0
    while data[at : at + 4] == MAGIC:
        size = int.from_bytes(data[at + 4 : at + 8], "big")
        following = data.find(MAGIC, at + max(size, 8))
        if following < 0:
            out.append(data[at:])
            break
        out.append(data[at : at + size])
        at = following
    return tuple(out) if len(out) > 1 else (data,)


def fit_trees(image: Image) -> Iterator[Inside]:
    """Yield the tree of each configuration, overlays applied; without configurations each image of type flat_dt."""
    images = image.root.children["images"].children
    configurations = image.root.children.get("configurations")
    named = [node for node in configurations.children.values() if "fdt" in node.extents] if configurations else []
    unpacking = _Unpacking(image)
    if not named:
        for node in images.values():
            if _is_tree(node):
                yield _guarded(node.name, partial(unpacking.content, node))
        return
    for node in named:
        yield _guarded(node.name, partial(_configured, node, images, unpacking))


def _is_tree(node: FitNode) -> bool:
    try:
        return node.text("type") == "flat_dt"
    except ContainerError:
        return False


class _Unpacking:
    """The images of one file as they are taken out of it, and how many bytes they have come to."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._made = 0

    def content(self, node: FitNode) -> bytes:
        """Return an image's bytes, verified and unpacked; raise `ContainerError` when that cannot be."""
        if self._made > _WHOLE:
            raise ContainerError(f"{node.path}: the file's images unpack to more than {_WHOLE >> 20} MiB")
        stored = _stored(node, self._image)
        for child in node.children.values():
            if child.name.partition("@")[0] == "hash" or child.name.startswith("hash-"):
                _verify(child, stored)
        made = _decompressed(node, stored)
        self._made += len(made)
        return made


def _guarded(name: str, make: Callable[[], bytes]) -> Inside:
    try:
        return Inside(name, make())
    except (ContainerError, OverlayError, BlobError) as error:
        return Inside(name, b"", str(error))


def _configured(node: FitNode, images: Mapping[str, FitNode], unpacking: _Unpacking) -> bytes:
    names = node.strings("fdt")
    if not names:
        raise ContainerError(f"{node.path}: its fdt names no image")
    made = b""
    for place, name in enumerate(names):
        image = images.get(name)
        if image is None:
            raise ContainerError(f"{node.path} names the image {name}, which is not there")
        content = unpacking.content(image)
        made = apply_overlay(parse(made), parse(content)) if place else content
    return made


def _stored(node: FitNode, image: Image) -> bytes:
    if "data" in node.extents:
        return node.value("data", _LIMIT) or b""
    size, position, offset = node.number("data-size"), node.number("data-position"), node.number("data-offset")
    if size is None or (position is None and offset is None):
        raise ContainerError(f"{node.path} has no data")
    start = position if position is not None else -(-image.totalsize // 4) * 4 + (offset or 0)
    if start + size > image.stored.size:
        raise ContainerError(f"{node.path}: its data ends beyond the file")
    if size > _LIMIT:
        raise ContainerError(f"{node.path}: its data has more than {_LIMIT >> 20} MiB, which no tree has")
    return image.stored.read(start, size)


def _verify(node: FitNode, stored: bytes) -> None:
    algo, value = node.text("algo"), node.value("value")
    if algo is None or value is None:
        return
    if algo == "crc32":
        found = (zlib.crc32(stored) & 0xFFFFFFFF).to_bytes(4, "big")
    elif algo in _HASHES:
        found = hashlib.new(algo, stored, usedforsecurity=False).digest()
    else:
        raise ContainerError(f"{node.path}: {algo} is no hash that can be verified here")
    if found != value:
        raise ContainerError(f"{node.path}: the {algo} of the image is not what it says")


def _decompressed(node: FitNode, stored: bytes) -> bytes:
    kind = node.text("compression") or "none"
    if kind == "none":
        return stored
    try:
        return unpacked(kind, stored, _LIMIT).data
    except ContainerError as error:
        raise ContainerError(f"{node.path}: {error}") from error

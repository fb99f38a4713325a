"""Trees inside other files: blobs one after another, and FIT images.

A FIT image (``.itb``) is itself a tree: nodes of ``/images`` whose ``type`` is ``flat_dt`` hold trees, nodes of
``/configurations`` name one and overlays to be applied to it. Hashes are verified where the image states them.
"""

from __future__ import annotations

import bz2
import hashlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.overlay import apply_overlay
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.errors import BlobError, ContainerError, OverlayError

__all__ = ["MAGIC", "Inside", "fit_trees", "is_fit", "split_concatenation"]

MAGIC: Final = b"\xd0\x0d\xfe\xed"
_LIMIT: Final = 16 << 20
"""Bytes of one tree: the reader takes no larger one."""
_WHOLE: Final = 256 << 20
"""Bytes that all trees of a file may unpack to: some kilobytes can name gigabytes, often the same ones again."""
_LZMA_MEMORY: Final = 128 << 20
"""Bytes for a dictionary of lzma, whose size the data states; ``xz -9`` takes 65 MiB."""
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


def is_fit(tree: Tree) -> bool:
    """Whether a tree is a FIT image."""
    images = tree.root.child("images")
    return images is not None and any(child.prop("data") or child.prop("type") for child in images.children)


def fit_trees(tree: Tree, data: bytes) -> Iterator[Inside]:
    """Yield the tree of each configuration, overlays applied; without configurations each image of type flat_dt.

    ``data`` is the whole file, which may hold image data behind the tree.
    """
    images = tree.root.child("images")
    if images is None:
        return
    configurations = tree.root.child("configurations")
    named = [node for node in configurations.children if node.prop("fdt") is not None] if configurations else []
    unpacking = _Unpacking(tree, data)
    if not named:
        for image in images.children:
            if _text(image, "type") == "flat_dt":
                yield _guarded(image.name, partial(unpacking.content, image))
        return
    for node in named:
        yield _guarded(node.name, partial(_configured, node, images, unpacking))


class _Unpacking:
    """The images of one file as they are taken out of it, and how many bytes they have come to."""

    def __init__(self, tree: Tree, data: bytes) -> None:
        self._tree, self._data = tree, data
        self._made = 0

    def content(self, image: Node) -> bytes:
        """Return an image's bytes, verified and unpacked; raise `ContainerError` when that cannot be."""
        if self._made > _WHOLE:
            raise ContainerError(f"{image.path}: the file's images unpack to more than {_WHOLE >> 20} MiB")
        made = _content(image, self._tree, self._data)
        self._made += len(made)
        return made


def _guarded(name: str, make: Callable[[], bytes]) -> Inside:
    try:
        return Inside(name, make())
    except (ContainerError, OverlayError, BlobError) as error:
        return Inside(name, b"", str(error))


def _configured(node: Node, images: Node, unpacking: _Unpacking) -> bytes:
    prop = node.prop("fdt")
    names = prop.strings if prop is not None else ()
    if not names:
        raise ContainerError(f"{node.path}: its fdt names no image")
    made = b""
    for place, name in enumerate(names):
        image = images.child(name)
        if image is None:
            raise ContainerError(f"{node.path} names the image {name}, which is not there")
        content = unpacking.content(image)
        made = apply_overlay(parse(made), parse(content)) if place else content
    return made


def _text(node: Node, name: str) -> str | None:
    prop = node.prop(name)
    return prop.string if prop is not None else None


def _content(image: Node, tree: Tree, data: bytes) -> bytes:
    stored = _stored(image, tree, data)
    for child in image.children:
        if child.base_name == "hash" or child.name.startswith("hash-"):
            _verify(child, stored)
    return _decompressed(image, stored)


def _stored(image: Node, tree: Tree, data: bytes) -> bytes:
    inline = image.prop("data")
    if inline is not None:
        return inline.value
    size = image.prop("data-size")
    position, offset = image.prop("data-position"), image.prop("data-offset")
    if size is None or size.u32 is None or (position is None and offset is None):
        raise ContainerError(f"{image.path} has no data")
    if position is not None:
        start = position.u32
    else:
        start = None if offset is None or offset.u32 is None else -(-tree.totalsize // 4) * 4 + offset.u32
    if start is None or start + size.u32 > len(data):
        raise ContainerError(f"{image.path}: its data ends beyond the file")
    return data[start : start + size.u32]


def _verify(node: Node, stored: bytes) -> None:
    algo, value = _text(node, "algo"), node.prop("value")
    if algo is None or value is None:
        return
    if algo == "crc32":
        found = (zlib.crc32(stored) & 0xFFFFFFFF).to_bytes(4, "big")
    elif algo in _HASHES:
        found = hashlib.new(algo, stored, usedforsecurity=False).digest()
    else:
        raise ContainerError(f"{node.path}: {algo} is no hash that can be verified here")
    if found != value.value:
        raise ContainerError(f"{node.path}: the {algo} of the image is not what it says")


def _decompressed(image: Node, stored: bytes) -> bytes:
    kind = _text(image, "compression") or "none"
    try:
        if kind == "none":
            return stored
        if kind == "gzip":
            worker = zlib.decompressobj(31)
            made = worker.decompress(stored, _LIMIT + 1)
        elif kind == "bzip2":
            made = bz2.BZ2Decompressor().decompress(stored, _LIMIT + 1)
        elif kind in ("lzma", "xz"):
            made = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(stored, _LIMIT + 1)
        else:
            raise ContainerError(f"{image.path}: {kind} is no compression that can be undone here")
    except (zlib.error, OSError, lzma.LZMAError, EOFError) as error:
        raise ContainerError(f"{image.path}: its {kind} data is broken: {error}") from error
    if len(made) > _LIMIT:
        raise ContainerError(f"{image.path}: it is more than {_LIMIT >> 20} MiB when decompressed")
    return made

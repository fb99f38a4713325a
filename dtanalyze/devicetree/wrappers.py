"""Files that people have in which a tree is wrapped: compressed, behind a kernel, in Android's and EFI's images.

Each format is known by its first bytes. What it holds is taken out, or one sentence says what the file is and how its tree
is had. Layouts: Android's bootimg.h and dt_table.h, the PE format as unified kernel images use it (systemd's .dtb section),
arm's zImage header, U-Boot's legacy image header.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from dtanalyze.devicetree.compression import KINDS, unpacked
from dtanalyze.devicetree.containers import MAGIC, Inside
from dtanalyze.errors import ContainerError

__all__ = ["described", "unwrapped"]

_LIMIT: Final = 256 << 20
"""Bytes that one wrapped file may unpack to."""
_ANDROID_V2_DTB: Final = 1648
_VENDOR_DTB: Final = 2100
_ZIMAGE: Final = b"\x18\x28\x6f\x01"
_ARM64_IMAGE: Final = b"ARM\x64"
_SMALLEST_TREE: Final = 48


class _Known(NamedTuple):
    """A format: where its mark stands, what it is called, and what takes the trees out of it."""

    at: int
    mark: bytes
    what: str
    trees: Callable[[bytes], Iterator[Inside]] | None
    advice: str = ""


def unwrapped(data: bytes) -> Iterator[Inside] | None:
    """Yield the trees in ``data``; None when it is no format known here. Raises `ContainerError` where one is broken.

    A format that never holds a tree, or holds none here, is a `ContainerError` that says what it is.
    """
    known = _known(data)
    if known is None:
        return None
    return _taken(known, data)


def described(data: bytes) -> str | None:
    """Return what a file is, None when it is no format known here."""
    known = _known(data)
    return known.what if known else None


def _known(data: bytes) -> _Known | None:
    return next((item for item in _FORMATS if data[item.at : item.at + len(item.mark)] == item.mark), None)


def _taken(known: _Known, data: bytes) -> Iterator[Inside]:
    empty = True
    try:
        for item in known.trees(data) if known.trees is not None else ():
            empty = False
            yield item
    except struct.error as error:
        raise ContainerError(f"{known.what}, which is cut off or broken: {error}") from error
    except ContainerError as error:
        raise ContainerError(f"{known.what}: {error}") from error
    if empty:
        raise ContainerError(f"{known.what}{', without a device tree in it' if known.trees else ''}{known.advice}")


def _compressed(name: str) -> Callable[[bytes], Iterator[Inside]]:
    def trees(data: bytes) -> Iterator[Inside]:
        made, behind = unpacked(name, data, _LIMIT)
        # A kernel that was compressed with a tree behind it (Image.gz-dtb), or a tree or an image that was compressed.
        if made[:4] == MAGIC:
            yield Inside("", made)
        else:
            yield from _behind(made)
        yield from _behind(behind)

    return trees


def _behind(data: bytes) -> Iterator[Inside]:
    """Yield the trees that stand somewhere in ``data``, each known by a header that fits."""
    at, number = data.find(MAGIC), 0
    while at >= 0:
        size = _tree_size(data, at)
        if size:
            number += 1
            yield Inside(f"#{number}", data[at : at + size])
        at = data.find(MAGIC, at + max(size, 4))


def _tree_size(data: bytes, at: int) -> int:
    """Return the size of the tree at ``at``, 0 when what stands there is none."""
    if at + _SMALLEST_TREE > len(data):
        return 0
    size, structure, strings, reservations, version = struct.unpack_from(">5I", data, at + 4)
    inside = all(_SMALLEST_TREE - 8 <= item <= size for item in (structure, strings, reservations))
    return size if inside and version in (16, 17) and at + size <= len(data) else 0


def _kernel(data: bytes) -> Iterator[Inside]:
    yield from _behind(data)


def _android_boot(data: bytes) -> Iterator[Inside]:
    kernel, _, ramdisk, _, second, _, _, page, version = struct.unpack_from("<9I", data, 8)
    if version < 2:
        yield from _behind(data)
        return
    if version > 2:
        return  # the tree is in vendor_boot
    (recovery,) = struct.unpack_from("<I", data, 1632)
    (size,) = struct.unpack_from("<I", data, _ANDROID_V2_DTB)
    start = _pages(page, page, kernel, ramdisk, second, recovery)
    yield from _concatenated(data, start, size)


def _android_vendor(data: bytes) -> Iterator[Inside]:
    _, page, _, _, ramdisk = struct.unpack_from("<5I", data, 8)
    header, size = struct.unpack_from("<2I", data, _VENDOR_DTB - 4)
    yield from _concatenated(data, _pages(page, header, ramdisk), size)


def _pages(page: int, *sizes: int) -> int:
    """Return where what follows ``sizes`` begins, each of which fills whole pages."""
    if page == 0:
        raise ContainerError("its page size is zero")
    return sum(-(-size // page) * page for size in sizes)


def _concatenated(data: bytes, start: int, size: int) -> Iterator[Inside]:
    if start + size > len(data):
        raise ContainerError("its device tree ends beyond the file")
    yield from _behind(data[start : start + size])


def _android_table(data: bytes) -> Iterator[Inside]:
    _, _, _, entry, count, offset, _, _ = struct.unpack_from(">8I", data)
    if count and (entry < 8 or offset + count * entry > len(data)):
        raise ContainerError("its table of trees ends beyond the file")
    for number in range(count):
        size, start = struct.unpack_from(">2I", data, offset + number * entry)
        name = f"#{number + 1}"
        if start + size > len(data):
            yield Inside(name, b"", "its data ends beyond the file")
        else:
            yield Inside(name, data[start : start + size])


def _portable_executable(data: bytes) -> Iterator[Inside]:
    (header,) = struct.unpack_from("<I", data, 0x3C)
    if data[header : header + 4] != b"PE\0\0":
        return
    count, optional = struct.unpack_from("<H12xH", data, header + 6)
    for number in range(count):
        at = header + 24 + optional + 40 * number
        name, virtual, _, raw, start = struct.unpack_from("<8s4I", data, at)
        kind = name.rstrip(b"\0").decode("ascii", "replace")
        if kind in (".dtb", ".dtbauto"):
            yield Inside(f"{kind[1:]}-{number}", data[start : start + min(raw, virtual or raw)])


def _legacy(data: bytes) -> Iterator[Inside]:
    (size,) = struct.unpack_from(">I", data, 12)
    flat_tree = 8
    if data[30] == flat_tree:
        yield Inside("", data[64 : 64 + size])


_FROM_BOARD: Final = ": the tree that Linux booted with is /sys/firmware/fdt on the board"
_MOUNTED: Final = ": losetup -P FILE shows its partitions, mount one and take the .dtb out of it"
_FORMATS: Final = (
    *(
        _Known(0, mark, f"{'an' if name in ('xz', 'lzma', 'lz4') else 'a'} {name} file", _compressed(name))
        for name, kind in KINDS.items()
        for mark in kind.marks
    ),
    _Known(0, b"ANDROID!", "an Android boot image", _android_boot, "; from version 3 on it is in vendor_boot"),
    _Known(0, b"VNDRBOOT", "an Android vendor_boot image", _android_vendor),
    _Known(0, b"\xd7\xb7\xab\x1e", "an Android dtb or dtbo image", _android_table),
    _Known(0, b"QCDT", "a Qualcomm table of trees (dt.img)", _kernel),
    _Known(0, b"RSCE", "a Rockchip resource image", _kernel),
    _Known(0x38, _ARM64_IMAGE, "an arm64 kernel Image", _kernel, _FROM_BOARD),
    _Known(0x24, _ZIMAGE, "an arm zImage", _kernel, _FROM_BOARD),
    _Known(4, b"zimg", "a compressed EFI kernel (vmlinuz.efi)", None, _FROM_BOARD),
    _Known(0, b"MZ", "an EFI program", _portable_executable, _FROM_BOARD),
    _Known(0, b"\x27\x05\x19\x56", "a U-Boot legacy image", _legacy, ": dumpimage -l lists what is in it"),
    _Known(0, b"\x7fELF", "an ELF program", None, ", not a device tree"),
    _Known(0, b"hsqs", "a squashfs image", None, ": unsquashfs takes files out of it"),
    _Known(0, b"07070", "a cpio archive", None, ": cpio -idv takes files out of it"),
    _Known(257, b"ustar", "a tar archive", None, ": tar -xf takes files out of it"),
    _Known(0, b"PK\x03\x04", "a zip archive", None, ": unzip takes files out of it"),
    _Known(0, b"!<arch>\n", "an ar archive (a .deb or a library)", None, ": dpkg-deb -x or ar x takes files out of it"),
    _Known(0, b"UBI#", "a UBI image", None, ": ubireader_extract_files takes files out of it"),
    _Known(0, b"\x3a\xff\x26\xed", "an Android sparse image", None, ": simg2img makes a file system image of it"),
    _Known(0x200, b"EFI PART", "a disk image with partitions", None, _MOUNTED),
    _Known(0x438, b"\x53\xef", "an ext4 file system", None, ": debugfs -R 'dump /boot/x.dtb x.dtb' FILE takes one out"),
    _Known(0x52, b"FAT32", "a FAT file system", None, ": mcopy -i FILE ::board.dtb . takes one out of it"),
    _Known(0x36, b"FAT1", "a FAT file system", None, ": mcopy -i FILE ::board.dtb . takes one out of it"),
    _Known(0x1FE, b"\x55\xaa", "a disk image", None, _MOUNTED),
    _Known(0, b"/dts-v1/", "a device tree source", None, ": name it .dts, and it is compiled"),
)

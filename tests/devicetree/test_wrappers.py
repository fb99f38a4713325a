"""Trees wrapped in the files that people have; every image is put together here by the format's own description."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from pathlib import Path

import pytest

from dtanalyze.devicetree.containers import Inside
from dtanalyze.devicetree.wrappers import described, unwrapped
from dtanalyze.errors import ContainerError
from tests.conftest import FIXTURES

TREE = (FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb").read_bytes()
OTHER = (FIXTURES / "dtb" / "boots" / "01-dom0-x420-l612.dtb").read_bytes()
TREE, OTHER = (blob[: int.from_bytes(blob[4:8], "big")] for blob in (TREE, OTHER))
PAGE = 4096


def gzipped(data: bytes, level: int = 9) -> bytes:
    """Return the same bytes whenever it is asked: no time in the header."""
    return gzip.compress(data, level, mtime=0)


def trees(data: bytes) -> list[Inside]:
    found = unwrapped(data)
    assert found is not None
    return list(found)


def padded(*parts: bytes, page: int = PAGE) -> bytes:
    return b"".join(part + bytes(-len(part) % page) for part in parts)


def arm64_image() -> bytes:
    return bytes(0x38) + b"ARM\x64" + bytes(4) + b"\xd0\x0d\xfe\xed" + b"not a tree, only its magic" * 4


def boot_v2(dtb: bytes) -> bytes:
    header = struct.pack("<8s10I16s512s32s1024s", b"ANDROID!", 5000, 0, 100, 0, 0, 0, 0, PAGE, 2, 0, b"", b"", b"", b"")
    header += struct.pack("<IQI", 10, 0, 1660) + struct.pack("<IQ", len(dtb), 0)
    return padded(header, b"k" * 5000, b"r" * 100, b"", b"o" * 10, dtb)


def vendor_boot(dtb: bytes) -> bytes:
    header = struct.pack("<8s5I2048sI16s2IQ", b"VNDRBOOT", 3, PAGE, 0, 0, 5000, b"", 0, b"", 2112, len(dtb), 0)
    return padded(header, b"r" * 5000, dtb)


def table(*blobs: bytes) -> bytes:
    at = 32 + 32 * len(blobs)
    entries = b""
    for blob in blobs:
        entries += struct.pack(">8I", len(blob), at, 0, 0, 0, 0, 0, 0)
        at += len(blob)
    return struct.pack(">8I", 0xD7B7AB1E, at, 32, 32, len(blobs), 32, PAGE, 0) + entries + b"".join(blobs)


def unified_kernel(dtb: bytes) -> bytes:
    head = b"MZ".ljust(0x3C, b"\0") + struct.pack("<I", 0x40) + b"PE\0\0" + struct.pack("<HHIIIHH", 0xAA64, 2, 0, 0, 0, 0, 0)
    start = len(head) + 80
    sections = struct.pack("<8s4I16x", b".linux", 4, 0, 4, start) + struct.pack(
        "<8s4I16x", b".dtb", len(dtb), 0, len(dtb) + 3, start + 4
    )
    return head + sections + b"code" + dtb + b"\0\0\0"


def legacy(kind: int, content: bytes) -> bytes:
    return struct.pack(">7I4B32s", 0x27051956, 0, 0, len(content), 0, 0, 0, 5, 22, kind, 0, b"tree") + content


@pytest.mark.parametrize(
    ("data", "blobs"),
    [
        pytest.param(gzipped(TREE), [TREE], id="dtb.gz"),
        pytest.param(lzma.compress(TREE), [TREE], id="dtb.xz"),
        pytest.param(bz2.compress(TREE), [TREE], id="dtb.bz2"),
        pytest.param(gzipped(arm64_image()) + TREE, [TREE], id="Image.gz-dtb"),
        pytest.param(gzipped(arm64_image()) + TREE + OTHER, [TREE, OTHER], id="Image.gz-dtb, two"),
        pytest.param(arm64_image() + TREE, [TREE], id="Image with a tree behind it"),
        pytest.param(bytes(0x24) + b"\x18\x28\x6f\x01" + bytes(40) + TREE, [TREE], id="zImage-dtb"),
        pytest.param(boot_v2(TREE), [TREE], id="Android boot, version 2"),
        pytest.param(boot_v2(TREE + OTHER), [TREE, OTHER], id="Android boot, two trees"),
        pytest.param(vendor_boot(TREE), [TREE], id="Android vendor_boot"),
        pytest.param(table(TREE, OTHER), [TREE, OTHER], id="Android dtb image"),
        pytest.param(unified_kernel(TREE), [TREE], id="unified kernel image"),
        pytest.param(legacy(8, TREE), [TREE], id="U-Boot legacy"),
    ],
)
def test_the_trees_come_out_as_they_went_in(data: bytes, blobs: list[bytes]) -> None:
    assert [item.data for item in trees(data)] == blobs


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (gzipped(arm64_image()), "a gzip file, without a device tree in it"),
        (arm64_image(), "an arm64 kernel Image, without a device tree in it: the tree that Linux booted with is /sys/firmware/fdt on the board"),
        (b"\x7fELF" + bytes(60), "an ELF program, not a device tree"),
        (b"070701" + bytes(100), "a cpio archive: cpio -idv takes files out of it"),
        (bytes(257) + b"ustar" + bytes(300), "a tar archive: tar -xf takes files out of it"),
        (bytes(0x438) + b"\x53\xef" + bytes(90), "an ext4 file system: debugfs -R 'dump /boot/x.dtb x.dtb' FILE takes one out"),
        (bytes(510) + b"\x55\xaaEFI PART" + bytes(90), "a disk image with partitions: losetup -P FILE shows its partitions, mount one and take the .dtb out of it"),
        (b"MZ\0\0zimg" + bytes(90), "a compressed EFI kernel (vmlinuz.efi): the tree that Linux booted with is /sys/firmware/fdt on the board"),
        (b"/dts-v1/;\n/ {};\n", "a device tree source: name it .dts, and it is compiled"),
        (legacy(2, b"kernel"), "a U-Boot legacy image, without a device tree in it: dumpimage -l lists what is in it"),
        (b"ANDROID!" + struct.pack("<9I", *[0] * 7, PAGE, 3) + bytes(100), "an Android boot image, without a device tree in it; from version 3 on it is in vendor_boot"),
    ],
    ids=["gzip", "Image", "ELF", "cpio", "tar", "ext4", "disk", "zboot", "source", "U-Boot", "Android 3"],
)  # fmt: skip
def test_what_holds_no_tree_says_what_it_is(data: bytes, sentence: str) -> None:
    with pytest.raises(ContainerError) as raised:
        trees(data)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    "whole",
    [gzipped(TREE), lzma.compress(TREE), boot_v2(TREE), vendor_boot(TREE), table(TREE)],
    ids=["gzip", "xz", "boot", "vendor_boot", "table"],
)
def test_what_is_cut_off_is_said(whole: bytes) -> None:
    for size in (12, len(whole) // 3, len(whole.rstrip(b"\0")) - 100):
        with pytest.raises(ContainerError):
            found = trees(whole[:size])
            raise ContainerError(str(next(item.problem for item in found if item.problem)))


def test_a_bomb_is_refused() -> None:
    packed = gzipped(bytes(257 << 20), 1)
    with pytest.raises(ContainerError, match="it unpacks to more than 256 MiB"):
        trees(packed)


def test_what_is_not_known_is_left_to_the_reader() -> None:
    assert unwrapped(TREE) is None and unwrapped(b"") is None and described(b"hello") is None
    assert described(gzipped(b"")) == "a gzip file"


def test_the_fixture_trees_end_where_they_say() -> None:
    assert Path(FIXTURES).is_dir() and len(TREE) > 1000 and len(OTHER) > 1000

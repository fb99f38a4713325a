"""Trees inside concatenations and FIT images, good ones and hostile ones."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.containers import Inside, fit_trees, split_concatenation
from dtanalyze.devicetree.fit import InMemory, read_image
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob
from dtanalyze.errors import BlobError, InputError
from dtanalyze.inputs.files import Found, ImageFile, content_of, trees_in
from tests.trees import dtb

ONE, TWO = dtb("one;"), dtb('two = "x";')
OVERLAY = dtb('f { target-path = "/"; __overlay__ { three; }; };')


def image(
    data: bytes,
    *,
    kind: str = "flat_dt",
    compression: str | None = None,
    hashes: dict[str, bytes] | None = None,
    external: str | None = None,
    fdts: dict[str, tuple[str, ...]] | None = None,
    more: dict[str, bytes] | None = None,
    size: int | None = None,
    at: int | None = None,
) -> list[Inside]:
    """Return the trees of an image that holds ``data`` as fdt-1, and ``more`` as further images."""
    root = new_node("")
    images = new_node("images", root)
    for name, content in {"fdt-1": data, **(more or {})}.items():
        node = new_node(name, images, {"type": strings(kind)})
        if compression:
            set_property(node, "compression", strings(compression))
        if external is None or name != "fdt-1":
            set_property(node, "data", content)
        for number, (algo, value) in enumerate((hashes or {}).items(), 1):
            new_node(f"hash-{number}", node, {"algo": strings(algo), "value": value})
    if fdts is not None:
        configurations = new_node("configurations", root)
        for name, names in fdts.items():
            new_node(name, configurations, {"fdt": strings(*names) if names else b""})
    first = images.children[0]
    if external is not None:
        set_property(first, "data-size", cells((len(data) if size is None else size,)))
        set_property(first, external, cells((0,)))
    blob = to_blob(root)
    if external == "data-position":
        set_property(first, external, cells((len(blob) + -len(blob) % 4 if at is None else at,)))
        blob = to_blob(root)
    elif external == "data-offset" and at is not None:
        set_property(first, external, cells((at,)))
        blob = to_blob(root)
    whole = blob + b"\0" * (-len(blob) % 4) + (data if external else b"")
    return trees_of(whole)


def trees_of(whole: bytes) -> list[Inside]:
    """Return the trees of a whole file, which has to be an image."""
    image = read_image(InMemory(whole))
    assert image is not None
    return list(fit_trees(image))


def test_concatenations() -> None:
    assert split_concatenation(ONE) == (ONE,)
    assert split_concatenation(ONE + b"\0" * 64) == (ONE + b"\0" * 64,)
    padded = ONE + b"\0" * (-len(ONE) % 64)
    assert [parse(item).root.properties.keys() for item in split_concatenation(padded + TWO)] == [
        parse(ONE).root.properties.keys(),
        parse(TWO).root.properties.keys(),
    ]
    cut = split_concatenation(ONE + TWO[:50])
    assert cut == (ONE, TWO[:50]), "the reader says that the second is cut off"
    assert split_concatenation(b"\xd0\x0d\xfe\xed\0\0\0\0" + ONE)[1] == ONE, "a size of zero ends nothing"


def test_an_image_is_one() -> None:
    assert read_image(InMemory(ONE)) is None
    assert read_image(InMemory(dtb("images { };"))) is None


@pytest.mark.parametrize(
    ("compression", "pack"),
    [
        (None, bytes),
        ("none", bytes),
        ("gzip", gzip.compress),
        ("bzip2", bz2.compress),
        ("lzma", lambda data: lzma.compress(data, lzma.FORMAT_ALONE)),
        ("xz", lzma.compress),
    ],
)
def test_compressions(compression: str | None, pack: Callable[[bytes], bytes]) -> None:
    assert image(pack(ONE), compression=compression) == [Inside("fdt-1", ONE)]


@pytest.mark.parametrize("algo", ["md5", "sha1", "sha256", "sha512"])
def test_hashes(algo: str) -> None:
    good = hashlib.new(algo, ONE).digest()
    assert image(ONE, hashes={algo: good}) == [Inside("fdt-1", ONE)]
    (bad,) = image(ONE, hashes={algo: good[:-1] + b"\0\0"})
    assert bad.problem == f"/images/fdt-1/hash-1: the {algo} of the image is not what it says"


def test_a_crc_and_a_hash_that_is_not_known() -> None:
    crc = zlib.crc32(ONE).to_bytes(4, "big")
    assert image(ONE, hashes={"crc32": crc})[0].problem is None
    assert "the crc32 of the image" in str(image(ONE, hashes={"crc32": b"1234"})[0].problem)
    assert "rot13 is no hash that can be verified here" in str(image(ONE, hashes={"rot13": b""})[0].problem)


def test_data_outside() -> None:
    for where in ("data-position", "data-offset"):
        assert image(ONE, external=where) == [Inside("fdt-1", ONE)]
        assert "its data ends beyond the file" in str(image(ONE, external=where, size=1 << 30)[0].problem)
        assert "its data ends beyond the file" in str(image(ONE, external=where, at=0xFFFFFFF0)[0].problem)
    root = new_node("")
    new_node("fdt-1", new_node("images", root), {"type": strings("flat_dt")})
    blob = to_blob(root)
    assert [item.problem for item in trees_of(blob)] == ["/images/fdt-1 has no data"]


def test_configurations_name_trees_and_overlays() -> None:
    found = image(
        ONE,
        more={"fdt-2": TWO, "over": OVERLAY},
        fdts={
            "conf-1": ("fdt-1",),
            "conf-2": ("fdt-2", "over"),
            "conf-3": ("none",),
            "conf-4": ("over", "fdt-1"),
            "conf-5": (),
        },
    )
    assert [item.name for item in found] == ["conf-1", "conf-2", "conf-3", "conf-4", "conf-5"]
    assert found[0].data == ONE
    assert {"two", "three"} <= parse(found[1].data).root.properties.keys()
    assert found[2].problem == "/configurations/conf-3 names the image none, which is not there"
    assert "no fragment with __overlay__" in str(found[3].problem)
    assert found[4].problem is not None


@pytest.mark.parametrize(
    ("data", "compression", "words"),
    [
        (b"no gzip", "gzip", "its gzip data is broken"),
        (b"no bzip2", "bzip2", "its bzip2 data is broken"),
        (b"no xz", "xz", "its xz data is broken"),
        (b"no zstd", "zstd", "its zstd data"),
        (b"no lz4", "lz4", "its lz4 data"),
        (b"\x02\x21\x4c\x18\x04\0\0\0junk", "lz4", "its lz4 data is broken"),
        (b"\x02\x21\x4c\x18", "lz4", "its lz4 data is cut off"),
        (gzip.compress(ONE, mtime=0)[:-9], "gzip", "its gzip data is cut off"),
        (b"x", "lzo", "lzo is no compression that can be undone here"),
        (gzip.compress(b"\0" * (65 << 20), 1, mtime=0), "gzip", "it unpacks to more than 16 MiB"),
    ],
)
def test_broken_and_hostile_data(data: bytes, compression: str, words: str) -> None:
    (found,) = image(data, compression=compression)
    assert words in str(found.problem)


def test_what_is_no_tree_is_left_out() -> None:
    assert image(ONE, kind="kernel") == []
    assert read_image(InMemory(ONE)) is None


@pytest.mark.parametrize("tool", [("zstd", "-q"), ("lz4", "-q"), ("lz4", "-q", "-l")], ids=" ".join)
def test_what_the_tools_compress_is_read(tool: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    """zstd and both formats of lz4, made by their own tools; without the package the sentence says what to do."""
    name = tool[0]
    if shutil.which(name) is None:
        pytest.skip(f"no {name}: its data is NOT tested")
    pytest.importorskip({"zstd": "backports.zstd", "lz4": "lz4"}[name])
    packed = subprocess.run([*tool, "-c"], input=TWO, capture_output=True, check=True).stdout
    assert image(packed, compression=name) == [Inside("fdt-1", TWO)]
    (found,) = image(packed[:-9], compression=name)
    assert found.problem is not None and "its" in found.problem
    bomb = subprocess.run([*tool, "-c"], input=bytes(17 << 20), capture_output=True, check=True).stdout
    assert "unpacks to more than 16 MiB" in str(image(bomb, compression=name)[0].problem)

    def absent(module: str) -> NoReturn:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr("dtanalyze.devicetree.compression.importlib.import_module", absent)
    (found,) = image(packed, compression=name)
    assert "needs a package that is not installed: pip install 'dtanalyze[images]'" in str(found.problem)
    assert f"or unpack it: {name} -d FILE" in str(found.problem)


def fit_file(place: Path, *, external: bool, kernel: int) -> bytes:
    """Write an image with a kernel of ``kernel`` bytes, most of them a hole, and two trees; return what precedes the kernel."""
    root = new_node("")
    images = new_node("images", root)
    body = {"data-position": cells((4096,)), "data-size": cells((kernel,))} if external else {"data": b"KERNEL!!"}
    new_node("kernel-1", images, {"type": strings("kernel"), **body})
    new_node("fdt-1", images, {"type": strings("flat_dt"), "compression": strings("gzip"), "data": gzip.compress(ONE, mtime=0)})
    new_node("fdt-2", images, {"type": strings("flat_dt"), "data": TWO})
    configurations = new_node("configurations", root)
    new_node("conf-1", configurations, {"fdt": strings("fdt-1")})
    new_node("conf-2", configurations, {"fdt": strings("fdt-2")})
    blob = to_blob(root)
    if not external:
        # The value grows by a hole: its length, the size of the structure block and all that stands behind it.
        more = kernel - 8
        at = blob.index(b"KERNEL!!")
        head = bytearray(blob[: at + 8])
        head[at - 8 : at - 4] = cells((kernel,))
        for field in (4, 12, 36):  # totalsize, off_dt_strings, size_dt_struct
            head[field : field + 4] = cells((int.from_bytes(head[field : field + 4], "big") + more,))
        with place.open("wb") as file:
            file.write(head)
            file.seek(more, 1)
            file.write(blob[at + 8 :])
        return bytes(head)
    with place.open("wb") as file:
        file.write(blob)
        file.truncate(4096 + kernel)
    return blob


@pytest.mark.parametrize("external", [False, True], ids=["inline", "external"])
def test_an_image_of_any_size_is_read_by_seeking(
    external: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "image.fit"
    fit_file(place, external=external, kernel=1 << 30)
    taken = []
    pread = os.pread

    def counted(descriptor: int, count: int, at: int) -> bytes:
        taken.append(count)
        return pread(descriptor, count, at)

    monkeypatch.setattr("dtanalyze.inputs.reading.os.pread", counted)
    opened = content_of(str(place))
    found = [(item.name, item.data) for item in trees_in("image.fit", opened, None) if isinstance(item, Found)]
    assert found == [("image.fit:conf-1", ONE), ("image.fit:conf-2", TWO)]
    assert sum(taken) < 100_000, "of a gigabyte"
    assert isinstance(opened, ImageFile)
    with pytest.raises(InputError, match="Bad file descriptor"):  # it is closed behind the last tree
        opened.file.read(0, 1)


def test_a_large_file_that_is_no_image_is_still_told_what_it_is(tmp_path: Path) -> None:
    place = tmp_path / "large.dtb"
    with place.open("wb") as file:
        file.write(ONE[:4] + cells((20 << 20,)) + ONE[8:])
        file.truncate(20 << 20)
    found = content_of(str(place))
    assert isinstance(found, bytes) and len(found) == 20 << 20


def broken(where: int, words: int) -> bytes:
    """Return an image with one word of its structure changed."""
    root = new_node("")
    new_node("fdt-1", new_node("images", root), {"type": strings("flat_dt"), "data": ONE})
    blob = bytearray(to_blob(root))
    at = int.from_bytes(blob[8:12], "big") + 4 * where
    blob[at : at + 4] = cells((words,))
    return bytes(blob)


@pytest.mark.parametrize(
    ("where", "word", "said"),
    [
        (0, 7, "has 0x7 where no such token can stand"),
        (0, 2, "has 0x2 where no such token can stand"),
        (0, 3, "has 0x3 where no such token can stand"),
        (9, 0x7FFFFFFF, "runs past the end of the structure block"),
        (10, 0x7FFFFFFF, "lies outside the strings block"),
    ],
)
def test_a_broken_image_is_told_with_its_offset(where: int, word: int, said: str) -> None:
    with pytest.raises(BlobError, match=said):
        read_image(InMemory(broken(where, word)))


def test_a_hostile_image_costs_little() -> None:
    """Levels without end, tokens without end, nodes of one name, a name that does not end."""
    begin, name = cells((1,)), b"a\0\0\0"
    for body, said in (
        (begin + bytes(4) + (begin + name) * 70, "no such token"),
        (begin + bytes(4) + cells((4,)) * (1 << 18), "more than 262144 tokens"),
        (begin + bytes(4) + (begin + name + cells((2,))) * 2, "two nodes called 'a'"),
        (begin + b"a" * 400, "does not end"),
        (begin + bytes(4) + begin + b"\x07\0\0\0", "is no name"),
        (begin + bytes(4), "ends too early"),
    ):
        head = cells((0xD00DFEED, 56 + len(body), 56, 56 + len(body), 40, 17, 16, 0, 0, len(body)))
        with pytest.raises(BlobError, match=said):
            read_image(InMemory(head + bytes(16) + body))

"""Trees inside concatenations and FIT images, good ones and hostile ones."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.containers import Inside, fit_trees, is_fit, split_concatenation
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob
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
    tree = parse(whole)
    assert is_fit(tree)
    return list(fit_trees(tree, whole))


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
    assert not is_fit(parse(ONE))
    assert not is_fit(parse(dtb("images { };")))


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
    assert [item.problem for item in fit_trees(parse(blob), blob)] == ["/images/fdt-1 has no data"]


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
        (b"x", "zstd", "zstd is no compression that can be undone here"),
        (gzip.compress(b"\0" * (65 << 20), 1), "gzip", "it is more than 16 MiB when decompressed"),
    ],
)
def test_broken_and_hostile_data(data: bytes, compression: str, words: str) -> None:
    (found,) = image(data, compression=compression)
    assert words in str(found.problem)


def test_what_is_no_tree_is_left_out() -> None:
    assert image(ONE, kind="kernel") == []
    assert list(fit_trees(parse(ONE), ONE)) == []

"""Trees changed at random in their properties and nodes: well-formed blobs that say strange things.

Bytes changed at random die at the reader nearly always; these get past it, into the mirrors, the rules and the reports.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import copy_node, set_property, to_blob
from tests.conftest import FIXTURES

__all__ = ["SEEDS", "mutant_of", "mutants"]

_LARGEST: Final = 20_000
SEEDS: Final = tuple(path for path in sorted((FIXTURES / "dtb").glob("*/*.dtb")) if path.stat().st_size < _LARGEST)
"""Small trees, so that a second holds many of their mutants."""
_CELLS: Final = (
    0,
    1,
    2,
    3,
    4,
    0xFF,
    0x1000,
    0x200000,
    0x40000000,
    0x7FFFFFFF,
    0x80000000,
    0xFFE00000,
    0xFFFFF000,
    0xFFFFFFFF,
)
_STRINGS: Final = (
    b"", b"\0", b"okay\0", b"disabled\0", b"pci\0", b"memory\0", b"\xff\xfe\0", b"a\n::error::x\0", b"\x1b[31m\0",
    b"simple-bus\0", b"/\0", b"/chosen\0", b"xen,domain\0", b"multiboot,kernel\0", b"multiboot,module\0", b"x" * 300 + b"\0",
    b"dom0_mem=1G\0", b"dom0_mem=0\0", b"gnttab_max_frames=0\0", b"dom0_max_vcpus=9999999999 iommu=on\0", b"ext_regions=0\0",
    b"dtuart=serial0 console=dtuart\0", b"mem=1G nokaslr\0", b"dom0_mem=" + b"9" * 5000 + b"\0", b"arm,gic-v3\0",
)  # fmt: skip
_NAMES: Final = (
    "reg", "ranges", "dma-ranges", "#address-cells", "#size-cells", "compatible", "status", "device_type", "interrupts",
    "interrupt-parent", "#interrupt-cells", "interrupt-map", "interrupt-map-mask", "phandle", "bootargs", "xen,xen-bootargs",
    "xen,dom0-bootargs", "memory", "cpus", "kaslr-seed", "xen,reg", "xen,path", "iommus", "#iommu-cells", "reusable", "no-map",
    "size", "alignment", "alloc-ranges", "direct-map", "xen,static-mem", "xen,shared-mem", "xen,static-heap", "xen,shm-id",
    "linux,initrd-start", "linux,initrd-end", "stdout-path", "vpl011", "passthrough", "xen,enhanced", "bus-range", "enable-method",
    "interrupts-extended", "linux,usable-memory", "linux,usable-memory-range",
)  # fmt: skip
_HOT: Final = (
    "chosen",
    "memory",
    "hypervisor",
    "reserved",
    "domU",
    "module",
    "intc",
    "interrupt",
    "pci",
    "iommu",
    "smmu",
    "timer",
    "cpu",
)


def mutants(seed: int, count: int) -> Iterator[tuple[Path, bytes]]:
    """Yield ``count`` mutants, each with the tree that it comes from; the same ones for the same seed."""
    chance = random.Random(seed)
    trees = {path: parse(path.read_bytes()) for path in SEEDS}
    for _ in range(count):
        path = chance.choice(SEEDS)
        yield path, mutant_of(trees[path], chance)


def mutant_of(tree: Tree, chance: random.Random) -> bytes:
    """Return a tree with one to four things changed, as a blob."""
    root = copy_node(tree.root, None)
    nodes = list(root)
    hot = [node for node in nodes if node.name.startswith(_HOT)] or nodes
    for _ in range(chance.randint(1, 4)):
        _change(chance.choice(hot if chance.random() < 0.6 else nodes), nodes, chance)
    reservations = [raw for raw, _ in tree.reservations]
    if chance.random() < 0.1:
        start = chance.choice(_CELLS) << 32 | chance.choice(_CELLS)
        reservations.append(RawRange(start, chance.choice((1, 0x1000, (1 << 64) - 1))))
    return to_blob(root, reservations)


def _change(node: Node, nodes: list[Node], chance: random.Random) -> None:
    names, what = list(node.properties), chance.random()
    if what < 0.55 and names:
        name = chance.choice(names)
        set_property(node, name, _value(node.properties[name].value, chance))
    elif what < 0.75:
        set_property(node, chance.choice(_NAMES), _value(b"", chance))
    elif what < 0.85 and names:
        del node.properties[chance.choice(names)]
    elif what < 0.92 and node.parent is not None and node in node.parent.children:
        node.parent.children.remove(node)
    elif node.parent is not None:
        below = {id(item) for item in node}
        copy_node(node, chance.choice([item for item in nodes if id(item) not in below]))


def _value(old: bytes, chance: random.Random) -> bytes:
    """Return another value: a cell changed, other cells or strings, cut off, repeated, with more behind it."""
    what = chance.random()
    if what < 0.3 and len(old) >= 4:
        at = chance.randrange(len(old) // 4) * 4
        return old[:at] + _cells(1, chance) + old[at + 4 :]
    if what < 0.45:
        return _cells(chance.randint(0, 8), chance)
    if what < 0.6:
        return chance.choice(_STRINGS)
    if what < 0.7:
        return old[: chance.randrange(len(old) + 1)]
    if what < 0.8:
        return old * chance.randint(1, 50)
    return old + chance.choice((_cells(chance.randint(1, 4), chance), b"x"))


def _cells(count: int, chance: random.Random) -> bytes:
    picked = (chance.choice((chance.choice(_CELLS), chance.getrandbits(32))) for _ in range(count))
    return b"".join(cell.to_bytes(4, "big") for cell in picked)

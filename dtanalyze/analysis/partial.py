"""A partial tree alone, against the board that it is for: as if a domain of 256 MiB had it.

Generators make partial trees before anybody writes the domain's node. The board's tree gets such a node, with modules where
its RAM is free, and goes through Xen; what is answered is that domain.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB
from dtanalyze.analysis.host import check_host
from dtanalyze.analysis.questions import HostQuestion
from dtanalyze.board.build import hypervisor_nodes
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob
from dtanalyze.errors import BlobError, InputError
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.bootinfo import BootInfo
from dtanalyze.xen.guest_tree import with_memory
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.partial_tree import PartialTree
from dtanalyze.xen.profile import NEWEST, preset

__all__ = ["check_partial"]

_NAME: Final = "partial"
_PATH: Final = f"/chosen/{_NAME}"
_SLOT: Final = 2 * MIB
_WHOLE_BOOT: Final = frozenset({"D05", "D14", "D15", "D17"})
"""Rules that speak of partial trees and stand at the first domain of a boot."""


def check_partial(data: bytes, path: str, board: tuple[str, bytes], question: HostQuestion) -> tuple[CheckResult, ...]:
    """Return one result for each cell; ``board`` is the host's tree with its name.

    Raises `BlobError` when ``data`` is no tree, `InputError` when it is a whole one, and when the board's tree is none, is a
    guest's or lists no RAM.
    """
    given = question.host or XenOptions()
    memory = given.memory or question.options.memory
    name, content = board
    try:
        tree = parse(content)
    except BlobError as error:
        raise InputError(f"{name}: {error}") from error
    if hypervisor_nodes(tree.root) and question.options.tree != "host":
        wanted = "--host wants the board's own (--as host takes it all the same)"
        raise InputError(f"{name}: it has a /hypervisor node, as a guest's tree: {wanted}")
    if memory:
        tree = parse(with_memory(tree, memory))
    partial = PartialTree(_part(parse(data)), len(data), path)
    host = _with_domain(tree, name, partial.size)
    trees = ((_NAME, partial), *given.partial_trees)
    asked = question._replace(
        options=question.options._replace(memory=()), host=given._replace(memory=(), partial_trees=trees)
    )
    results = check_host(host, path, asked)
    grouped = groupby(results, key=lambda item: (item.xen, item.linux.name, item.iommu))
    return tuple(_of_the_domain(list(cell)) for _, cell in grouped)


def _part(tree: Tree) -> Tree:
    """Return a partial tree; raise `InputError` for a whole one, of which Xen would copy nothing."""
    if tree.root.child("cpus") is not None and not any(node.name.lower() == "passthrough" for node in tree.root.children):
        raise InputError("it has /cpus and no /passthrough: a whole tree, which is checked without --partial")
    return tree


def _of_the_domain(cell: list[CheckResult]) -> CheckResult:
    """Return the domain's result with what the whole boot says of its partial tree; no offset is one into its file."""
    own = next(item for item in cell if item.domain == _PATH)
    others = (item for result in cell if result is not own for item in result.findings)
    every = [*own.findings, *(item for item in others if item.rule in _WHOLE_BOOT and item not in own.findings)]
    return own._replace(findings=tuple(_without_offset(every)))


def _without_offset(found: list[Finding]) -> Iterator[Finding]:
    for item in found:
        yield item.with_cures(())._replace(offset=None)


def _with_domain(tree: Tree, name: str, size: int) -> Tree:
    """Return the board's tree with a domain and its modules, and with a dom0 where it has no module at all."""
    info = boot_fdt_info(tree, preset(NEWEST))
    places = _places(info, name, 2 + -(-size // _SLOT) + 1)
    root = copy_node(tree.root, None)
    chosen = root.child("chosen") or new_node("chosen", root)
    if not any(item.node for item in info.modules):
        _module(chosen, "kernel", places[0], _SLOT)
    node = new_node(_NAME, chosen, {"compatible": strings("xen,domain")})
    _two_cells(node)
    set_property(node, "memory", cells((0, 256 << 10)))
    set_property(node, "cpus", cells((1,)))
    set_property(node, "xen,enhanced", strings("no-xenstore"))
    _module(node, "kernel", places[1], _SLOT)
    _module(node, "device-tree", places[2], max(size, 1))
    return parse(to_blob(root, [raw for raw, _ in tree.reservations], tree.boot_cpuid))


def _two_cells(node: Node) -> None:
    set_property(node, "#address-cells", cells((2,)))
    set_property(node, "#size-cells", cells((2,)))


def _module(parent: Node, kind: str, at: int, size: int) -> None:
    """Write a boot module in two cells each, whatever holds at ``parent``: a node between says so."""
    if parent.name == "chosen":
        parent = new_node("modules", parent)
        _two_cells(parent)
    node = new_node(f"module@{at:x}", parent, {"compatible": strings(f"multiboot,{kind}", "multiboot,module")})
    set_property(node, "reg", cells((at >> 32, at & 0xFFFFFFFF, size >> 32, size & 0xFFFFFFFF)))


def _places(info: BootInfo, name: str, count: int) -> list[int]:
    """Return where ``count`` slots of RAM in a row are free, at the end of the highest place that has them."""
    ram = RangeSet(AddressRange(bank.start, bank.size) for bank in info.mem if bank.size and not bank.wraps)
    known = [RawRange(item.start, item.size) for item in info.reserved_mem]
    known += [RawRange(item.start, item.size) for item in info.modules]
    free = ram.difference(found for item in known if (found := item.checked()) is not None)
    fitting = [item for item in free if item.stop // _SLOT * _SLOT - count * _SLOT >= item.start]
    if not fitting:
        raise InputError(f"{name}: it lists no RAM that is free; --memory gives the board's, e.g. --memory 0x40000000+2G")
    first = fitting[-1].stop // _SLOT * _SLOT - count * _SLOT
    return [first + at * _SLOT for at in range(count)]

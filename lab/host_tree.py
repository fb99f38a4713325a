"""The tree of an emulated board with what a case adds: RAM, reservations, devices, boot modules, command lines."""

from __future__ import annotations

from typing import Final, NamedTuple

import fdt

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import KIB
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number, reg_tuples
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, new_node, set_property, strings, to_blob
from dtanalyze.xen.command_line import xen_bootargs
from dtanalyze.xen.parse_params import XenArgs, parse_bootargs
from lab.case import Case, Placed

__all__ = ["Image", "grant_table", "host_tree", "images_of"]

_MODULES: Final = ("kernel", "ramdisk", "device-tree")


class Image(NamedTuple):
    """A boot module that a tree names, by the node at ``path``; ``size`` is bytes."""

    kind: str
    address: int
    size: int
    path: str


def host_tree(board: bytes, case: Case, placed: Placed) -> bytes:
    """Return the blob that Xen is to be given; ``board`` is QEMU's own tree of the machine."""
    tree = parse(board)
    root = tree.root
    root.children = [child for child in root.children if child.base_name not in ("memory", "chosen", "reserved-memory")]
    for bank in case.ram:
        new_node(f"memory@{bank.start:x}", root, {"device_type": strings("memory"), "reg": _reg(bank)})
    chosen = new_node("chosen", root)
    uart = next((child.path for child in root.children if child.base_name == "pl011"), None)
    if uart is not None:
        set_property(chosen, "stdout-path", strings(uart))
    for name, value in (("#address-cells", 2), ("#size-cells", 2)):
        set_property(chosen, name, cells((value,)))
    set_property(chosen, "xen,xen-bootargs", strings(case.xen_cmdline))
    set_property(chosen, "xen,dom0-bootargs", strings(case.linux_cmdline))
    if case.kaslr_seed is not None:
        set_property(chosen, "kaslr-seed", case.kaslr_seed.to_bytes(8, "big"))
    for kind, where in (("kernel", placed.kernel), ("ramdisk", placed.ramdisk)):
        if where is not None:
            given = {"compatible": strings(f"multiboot,{kind}", "multiboot,module"), "reg": _reg(where)}
            new_node(f"module@{where.start:x}", chosen, given)
    if case.reserved:
        _reserve(root, case)
    for device in case.devices:
        given = {"compatible": strings("lab,device"), "reg": _reg(device)}
        new_node(f"device@{device.start:x}", root, given)
    if case.nodes:
        _add_nodes(root, case.nodes)
    return to_blob(root, [RawRange(item.start, item.size) for item in case.memreserve])


def images_of(tree: Tree) -> tuple[Image, ...]:
    """Return the boot modules that the tree names anywhere below /chosen, in document order."""
    found = []
    chosen = tree.root.child("chosen")
    for node in chosen or ():
        kind = next((kind for kind in _MODULES if node.is_compatible(f"multiboot,{kind}")), None)
        legacy = {"xen,linux-zimage": "kernel", "xen,linux-initrd": "ramdisk"}
        kind = kind or next((kind for name, kind in legacy.items() if node.is_compatible(name)), None)
        prop = node.prop("reg")
        if kind is None or prop is None or node.parent is None:
            continue
        entry = next(reg_tuples(prop, inherited_cells(node.parent, CellCounts(2, 1))), None)
        if entry is not None:
            found.append(Image(kind, read_number(entry.address_cells), entry.size, node.path))
    return tuple(found)


def grant_table(tree: Tree, xen: int) -> AddressRange:
    """Return dom0's grant table: of as many frames as Xen's line says, at the start of Xen's text (``xen``)."""
    args = parse_bootargs(xen_bootargs(tree))
    return AddressRange(xen, (args.max_grant_frames or XenArgs().max_grant_frames) * 4 * KIB)


def _reg(item: AddressRange) -> bytes:
    return cells((item.start >> 32, item.start, item.size >> 32, item.size))


def _reserve(root: Node, case: Case) -> None:
    parent = new_node("reserved-memory", root, {"#address-cells": cells((2,)), "#size-cells": cells((2,)), "ranges": b""})
    for item in case.reserved:
        node = new_node(f"reserved@{item.range.start:x}", parent, {"reg": _reg(item.range)})
        for flag in item.flags:
            name, _, value = flag.partition("=")
            set_property(node, name, strings(value) if value else b"")


def _add_nodes(root: Node, text: str) -> None:
    """Merge DTS (the body of the root node, as the ``fdt`` package reads it) into the tree; later properties win."""
    lines = text.replace(";", ";\n").replace("{", "{\n")
    made = parse(bytes(fdt.parse_dts("/dts-v1/;\n/ {\n" + lines + "\n};\n").to_dtb(version=17, last_comp_version=16)))
    _merge(root, made.root)


def _merge(into: Node, other: Node) -> None:
    for prop in other.properties.values():
        set_property(into, prop.name, prop.value)
    for child in other.children:
        _merge(into.child(child.name) or new_node(child.name, into), child)

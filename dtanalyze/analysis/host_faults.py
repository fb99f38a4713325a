"""Faults of a tree that Xen boots with, each of a kind that `fix` has a cure for, and which rule tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB
from dtanalyze.analysis.faults import NotApplicable
from dtanalyze.board.bus import XEN
from dtanalyze.board.model import entry_range
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob
from dtanalyze.xen.command_line import xen_command_line
from dtanalyze.xen.prediction import Prediction

__all__ = ["HOST_FAULTS", "HostBench", "HostFault"]

_ROOT: Final = CellCounts(2, 1)
_PLACE: Final = 64 * MIB


class HostBench(NamedTuple):
    """A board that boots, as Xen finds it: ``console`` is the UART that Xen keeps."""

    tree: Tree
    prediction: Prediction
    console: Node | None

    def root(self) -> Node:
        """Return a copy of the root node, to be changed."""
        return copy_node(self.tree.root, None)

    def blob(self, root: Node) -> bytes:
        """Return the tree below ``root`` with this tree's reserve map."""
        return to_blob(root, [raw for raw, _ in self.tree.reservations], self.tree.boot_cpuid)

    def free_ram(self, count: int) -> int:
        """Return where ``count`` MiB of RAM belong to nobody."""
        info = self.prediction.info
        ram = RangeSet(AddressRange(bank.start, bank.size) for bank in info.mem if bank.size and not bank.wraps)
        taken = [AddressRange(item.start, item.size) for item in (*info.reserved_mem, *info.shmem) if item.size]
        taken += [AddressRange(item.start, item.size) for item in info.modules if item.size]
        for run in ram.difference(taken):
            start = -(-(run.start + _PLACE) // (2 * MIB)) * 2 * MIB  # past what Xen's own image is taken to have
            if start + count * MIB <= run.stop:
                return start
        raise NotApplicable(f"{count} MiB of RAM that belong to nobody are not to be had")


class HostFault(NamedTuple):
    """One kind of fault; ``caught_by`` names the rules of which one has to fire."""

    name: str
    caught_by: frozenset[str]
    seed: Callable[[HostBench], bytes]


def _at(root: Node, path: str) -> Node:
    """Return the node of a copy that has the path."""
    node = root
    for name in filter(None, path.split("/")):
        found = node.child(name)
        if found is None:
            raise NotApplicable(f"{path} is not in the tree")
        node = found
    return node


def _reg(parent: Node, start: int, size: int) -> bytes:
    counts = inherited_cells(parent, _ROOT)
    if start >> 32 * counts.address or size >> 32 * counts.size or not counts.address or not counts.size:
        raise NotApplicable(f"the cells below {parent.path} cannot say {start:#x}")
    return b"".join(
        cells(value >> 32 * (count - 1 - place) for place in range(count))
        for value, count in ((start, counts.address), (size, counts.size))
    )


def _moved_buses(bench: HostBench) -> Iterator[tuple[Node, Node]]:
    """Yield buses with entries in ``ranges`` that are whole, each with an enabled device on it."""
    for node in bench.tree.root:
        ranges, parent = node.prop("ranges"), node.parent
        if ranges is None or parent is None or node.device_type == "pci" or not bench.prediction.nodes.is_kept(node):
            continue
        for child in node.children:
            if child.prop("reg") is not None and not child.children and any(entry_range(e) for e in reg_entries(child, XEN)):
                yield node, child
                break


def _bus_without_ranges(bench: HostBench) -> bytes:
    for bus, _ in _moved_buses(bench):
        ranges = bus.prop("ranges")
        if bus.is_compatible("simple-bus") and ranges is not None and not ranges.value:
            root = bench.root()
            del _at(root, bus.path).properties["ranges"]
            return bench.blob(root)
    raise NotApplicable("no simple-bus has empty ranges and a device")


def _partial_ranges(bench: HostBench) -> bytes:
    for bus, _ in _moved_buses(bench):
        ranges = bus.prop("ranges")
        if ranges is not None and ranges.value:
            root = bench.root()
            set_property(_at(root, bus.path), "ranges", ranges.value + cells((1,)))
            return bench.blob(root)
    raise NotApplicable("no bus has entries in its ranges")


def _uncovered_address(bench: HostBench) -> bytes:
    """The last entry of a bus with one entry ends before a device that it covered."""
    for bus, child in _moved_buses(bench):
        ranges, parent = bus.prop("ranges"), bus.parent
        if ranges is None or not ranges.value or parent is None:
            continue
        counts, above = inherited_cells(bus, _ROOT), inherited_cells(parent, _ROOT)
        entry = next(iter(reg_entries(child, XEN)), None)
        if len(ranges.cells) != counts.address + above.address + counts.size or entry is None or counts.address > 2:
            continue
        start = int.from_bytes(ranges.value[: 4 * counts.address], "big")
        within = int.from_bytes(b"".join(cell.to_bytes(4, "big") for cell in entry.bus_cells), "big") - start
        if within >= 4096:
            root = bench.root()
            size = within // 4096 * 4096
            kept = ranges.value[: 4 * (counts.address + above.address)]
            set_property(_at(root, bus.path), "ranges", kept + size.to_bytes(4 * counts.size, "big"))
            return bench.blob(root)
    raise NotApplicable("no bus covers its devices with one entry")


def _seeded_device(bench: HostBench, interrupts: dict[str, bytes], parent: Node) -> bytes:
    root = bench.root()
    node = new_node("seeded-device", _at(root, parent.path), {"compatible": strings("seeded,device")})
    for name, value in interrupts.items():
        set_property(node, name, value)
    return bench.blob(root)


def _interrupts(node: Node) -> dict[str, bytes]:
    names = ("interrupts", "interrupts-extended", "interrupt-parent")
    return {name: prop.value for name in names if (prop := node.prop(name)) is not None}


def _consoles_interrupt(bench: HostBench) -> bytes:
    if bench.console is None or bench.console.parent is None:
        raise NotApplicable("Xen's console is no UART of the tree")
    return _seeded_device(bench, _interrupts(bench.console), bench.console.parent)


def _two_triggers(bench: HostBench) -> bytes:
    irqs = bench.prediction.nodes.irqs
    for node in bench.tree.root:
        if not bench.prediction.nodes.is_kept(node) or node.parent is None or node.prop("xen,passthrough") is not None:
            continue
        for sense in irqs.dt.senses(node):
            prop = node.prop(sense.prop)
            if sense.prop == "interrupt-map" or prop is None or sense.irq.irq < 32:
                continue
            other = 1 if sense.irq.type != 1 else 4
            changed = list(prop.cells)
            changed[sense.place] = changed[sense.place] & ~0xF | other
            return _seeded_device(bench, {**_interrupts(node), sense.prop: cells(changed)}, node.parent)
    raise NotApplicable("no device that dom0 gets has an interrupt of the GIC")


def _ram_twice(bench: HostBench) -> bytes:
    root = bench.root()
    bank = bench.prediction.info.mem[0]
    start = bank.start + bank.size // 2 // (2 * MIB) * 2 * MIB
    node = new_node(f"memory@{start:x}", root, {"device_type": strings("memory")})
    set_property(node, "reg", _reg(root, start, bank.stop - start))
    return bench.blob(root)


def _reserved(root: Node) -> Node:
    found = root.child("reserved-memory")
    own = inherited_cells(root, _ROOT)
    if found is None:
        both = {"#address-cells": cells((own.address,)), "#size-cells": cells((own.size,)), "ranges": b""}
        return new_node("reserved-memory", root, both)
    return found


def _reservations_overlap(bench: HostBench) -> bytes:
    root, start = bench.root(), bench.free_ram(4)
    parent = _reserved(root)
    for name, at in (("seeded-one", start), ("seeded-two", start + MIB)):
        set_property(new_node(name, parent), "reg", _reg(parent, at, 2 * MIB))
    return bench.blob(root)


def _reserved_memory_ignored(bench: HostBench) -> bytes:
    root, start = bench.root(), bench.free_ram(2)
    parent = _reserved(root)
    set_property(new_node("seeded-firmware", parent), "reg", _reg(parent, start, MIB))
    parent.properties.pop("ranges", None)
    return bench.blob(root)


def _ram_over_device(bench: HostBench) -> bytes:
    root, start = bench.root(), bench.free_ram(4)
    node = new_node("seeded-device", root, {"compatible": strings("seeded,device")})
    set_property(node, "reg", _reg(root, start, 4096))
    return bench.blob(root)


def _module(parent: Node, name: str, words: tuple[str, ...], start: int) -> Node:
    node = new_node(name, parent, {"compatible": strings(*words)})
    set_property(node, "reg", _reg(parent, start, MIB))
    return node


def _chosen(root: Node) -> Node:
    return root.child("chosen") or new_node("chosen", root)


def _modules(bench: HostBench, root: Node) -> tuple[Node, int]:
    """Return a parent for modules with a kernel in it where the tree has none, and where RAM is free behind it."""
    start = bench.free_ram(8)
    parent = new_node("seeded-modules", _chosen(root), {"#address-cells": cells((2,)), "#size-cells": cells((2,))})
    if not any(item.kind == "Kernel" for item in bench.prediction.info.modules):
        _module(parent, "seeded-kernel", ("multiboot,kernel", "multiboot,module"), start)
    return parent, start + 2 * MIB


def _modules_overlap(bench: HostBench) -> bytes:
    root = bench.root()
    parent, start = _modules(bench, root)
    for name, at in (("seeded-one", start), ("seeded-two", start + MIB // 2)):
        _module(parent, name, ("multiboot,ramdisk", "multiboot,module"), at)
    return bench.blob(root)


def _module_misspelt(bench: HostBench) -> bytes:
    root = bench.root()
    parent, start = _modules(bench, root)
    _module(parent, "seeded-ramdisk", ("multiboot,ramdisk", "multiboot-module"), start)
    return bench.blob(root)


def _module_misplaced(bench: HostBench) -> bytes:
    root = bench.root()
    _, start = _modules(bench, root)
    both = {"#address-cells": cells((2,)), "#size-cells": cells((2,))}
    parent = new_node("seeded-elsewhere", root, both)
    _module(parent, "seeded-ramdisk", ("multiboot,ramdisk", "multiboot,module"), start)
    return bench.blob(root)


def _domain(bench: HostBench, properties: dict[str, bytes]) -> bytes:
    root = bench.root()
    _, start = _modules(bench, root)
    both = {"compatible": strings("xen,domain"), "#address-cells": cells((2,)), "#size-cells": cells((2,))}
    node = new_node("seeded-domain", _chosen(root), both | properties)
    _module(node, "seeded-kernel", ("multiboot,kernel", "multiboot,module"), start)
    return bench.blob(root)


def _domain_without_cpus(bench: HostBench) -> bytes:
    return _domain(bench, {"memory": cells((0, 0x10000))})


def _domain_without_memory(bench: HostBench) -> bytes:
    return _domain(bench, {"memory": cells((0, 0)), "cpus": cells((1,))})


def _line(bench: HostBench, word: str) -> bytes:
    """Add a word to Xen's command line."""
    root = bench.root()
    line = xen_command_line(bench.tree)
    name = line.where.partition(" ")[0] or "xen,xen-bootargs"
    try:
        text = strings(f"{line.text} {word}".strip())
    except UnicodeEncodeError as error:
        raise NotApplicable("Xen's command line is no ASCII text") from error
    set_property(_chosen(root), name, text)
    return bench.blob(root)


def _unknown_option(bench: HostBench) -> bytes:
    return _line(bench, "bootscrab=0")


def _forced_iommu(bench: HostBench) -> bytes:
    if bench.prediction.iommu:
        raise NotApplicable("Xen uses an IOMMU of this board")
    return _line(bench, "iommu=force")


def _too_much_for_dom0(bench: HostBench) -> bytes:
    total = sum(bank.size for bank in bench.prediction.info.mem)
    return _line(bench, f"dom0_mem={total // MIB}M")


HOST_FAULTS: Final[tuple[HostFault, ...]] = (
    HostFault("bus without ranges", frozenset({"X36", "X34", "B04"}), _bus_without_ranges),
    HostFault("ranges with a part of an entry", frozenset({"X48"}), _partial_ranges),
    HostFault("ranges that end before a device", frozenset({"X34"}), _uncovered_address),
    HostFault("device with the console's interrupt", frozenset({"B01"}), _consoles_interrupt),
    HostFault("interrupt with two trigger types", frozenset({"B02"}), _two_triggers),
    HostFault("RAM named twice", frozenset({"B05"}), _ram_twice),
    HostFault("reservations that overlap", frozenset({"X39"}), _reservations_overlap),
    HostFault("reserved memory that Linux ignores", frozenset({"X37"}), _reserved_memory_ignored),
    HostFault("RAM over a device", frozenset({"O01"}), _ram_over_device),
    HostFault("boot modules that overlap", frozenset({"D02"}), _modules_overlap),
    HostFault("boot module misspelt", frozenset({"D18"}), _module_misspelt),
    HostFault("boot module out of sight", frozenset({"D04"}), _module_misplaced),
    HostFault("domain without CPUs", frozenset({"D05"}), _domain_without_cpus),
    HostFault("domain without memory", frozenset({"D05"}), _domain_without_memory),
    HostFault("unknown option of Xen", frozenset({"C01"}), _unknown_option),
    HostFault("IOMMU forced where none is", frozenset({"C02"}), _forced_iommu),
    HostFault("more RAM for dom0 than there is", frozenset({"B03"}), _too_much_for_dom0),
)

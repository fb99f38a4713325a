"""Faults that can be seeded into a board's own tree, each with the rules that have to catch it.

A clean hypervisor node is put into a copy of the tree first (`Bench`): regions on whole free sections, a grant table that
touches nothing. Each fault then changes one thing. What a tree has no place for is said, not skipped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import GIB, MIB
from dtanalyze.board.build import build_board
from dtanalyze.board.bus import LINUX
from dtanalyze.board.interrupts import GIC_COMPATIBLE
from dtanalyze.board.model import Board, entry_range
from dtanalyze.board.translate import RegEntry, Translated
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob

__all__ = ["FAULTS", "Bench", "Fault", "NotApplicable", "bench"]

_SECTION: Final = 128 * MIB
_PAGE: Final = 4096
_REGION_RULES: Final = frozenset({"X01", "X02", "X03", "X04", "X05", "X06", "X07"})


class NotApplicable(Exception):  # noqa: N818  # it is an answer, not an error
    """This tree has no place for the fault; the text says why."""


class Device(NamedTuple):
    """An enabled device's entry with CPU addresses."""

    node: Node
    entry: RegEntry
    range: AddressRange

    @property
    def bus_address(self) -> int:
        """The address as it stands in the node."""
        where = self.entry.where
        return where.chain[0].address if isinstance(where, Translated) else 0

    @property
    def is_moved(self) -> bool:
        """Whether a bus gives it another address than the CPU sees."""
        return self.bus_address != self.range.start


class Bench(NamedTuple):
    """A tree with a clean hypervisor node. ``free`` are whole free sections, ascending, that no region takes."""

    tree: Tree
    counts: CellCounts
    board: Board
    ram: RangeSet
    devices: tuple[Device, ...]
    used: RangeSet
    grant: AddressRange
    regions: tuple[AddressRange, ...]
    free: tuple[AddressRange, ...]

    def root(self) -> Node:
        """Return a copy of the root node, to be changed."""
        return copy_node(self.tree.root, None)

    def blob(self, root: Node) -> bytes:
        """Return the tree below ``root`` with this tree's reserve map."""
        return to_blob(root, [raw for raw, _ in self.tree.reservations], self.tree.boot_cpuid)

    def reg(self, ranges: Iterable[tuple[int, int]]) -> bytes:
        """Return a ``reg`` of (start, size) pairs in the root's cells."""
        return b"".join(_number(start, self.counts.address) + _number(size, self.counts.size) for start, size in ranges)

    def with_regions(self, regions: Iterable[tuple[int, int]], grant: AddressRange | None = None) -> bytes:
        """Return the tree with other extended regions."""
        root = self.root()
        set_property(_hypervisor(root), "reg", self.reg([grant or self.grant, *regions]))
        return self.blob(root)


class Fault(NamedTuple):
    """One kind of fault. ``caught_by`` names the rules of which one has to fire; none means that all must stay silent.

    ``beside`` are rules that truly fire with it; any other new error is a false alarm.
    """

    name: str
    caught_by: frozenset[str]
    beside: frozenset[str]
    seed: Callable[[Bench], bytes]


def bench(tree: Tree, ram: tuple[AddressRange, ...]) -> Bench:
    """Return a clean bench over a copy of ``tree``; raise `NotApplicable` when it has no room for one."""
    root = copy_node(tree.root, None, lambda node: node.name != "hypervisor" or node.parent is not tree.root)
    counts = inherited_cells(root, CellCounts(2, 1))
    if counts.address not in (1, 2) or counts.size not in (1, 2):
        raise NotApplicable(f"the root has #address-cells {counts.address} and #size-cells {counts.size}")
    board = build_board(tree, LINUX)
    memory = RangeSet(ram)
    if not memory:
        raise NotApplicable("the tree lists no RAM: give it with --memory")
    used = RangeSet([*memory, *_everything(board)])
    limit = 1 << (32 if 1 in counts else 39)
    low = next(iter(memory)).start // GIB * GIB
    sections = list(_free_sections(used, low, limit, 8))
    if len(sections) < 8:
        raise NotApplicable("no eight free sections lie above the start of RAM")
    grant = AddressRange(sections[7].start, 16 * MIB)
    regions = (
        AddressRange(sections[0].start, _SECTION),
        AddressRange(sections[2].start, _SECTION),
    )
    made = Bench(tree, counts, board, memory, (), used, grant, regions, (sections[4], sections[5]))
    node = new_node("hypervisor", root, {"compatible": strings("xen,xen-4.22", "xen,xen")})
    set_property(node, "reg", made.reg([grant, *regions]))
    _event_channel(node, tree)
    clean = tree._replace(root=root)
    fresh = build_board(clean, LINUX)
    return made._replace(tree=clean, board=fresh, devices=tuple(_devices(fresh, memory)))


def _number(value: int, count: int) -> bytes:
    return cells(value >> 32 * (count - 1 - place) for place in range(count))


def _hypervisor(root: Node) -> Node:
    found = root.child("hypervisor")
    if found is None:
        raise NotApplicable("the tree has no /hypervisor")
    return found


def _event_channel(node: Node, tree: Tree) -> None:
    for gic in tree.root:
        phandle, width = gic.prop("phandle"), gic.prop("#interrupt-cells")
        if phandle is not None and width is not None and gic.is_any_of(GIC_COMPATIBLE):
            set_property(node, "interrupts", cells((1, 15, 8, 0)[: width.u32 or 3]))
            set_property(node, "interrupt-parent", phandle.value)
            return


def _everything(board: Board) -> Iterator[AddressRange]:
    """Yield every range that any node names, enabled or not."""
    for device in board.devices:
        yield from (found for entry in device.entries if (found := entry_range(entry)) is not None)
    for host in board.pci_hosts:
        yield from (window.range for window in host.windows if window.range is not None)
    for item in board.reservations:
        yield from (found for entry in item.entries if (found := entry_range(entry)) is not None)
    yield from (found for raw, _ in board.memreserve if (found := raw.checked()) is not None)


def _devices(board: Board, ram: RangeSet) -> Iterator[Device]:
    for device in board.devices:
        for entry in device.entries if device.enabled else ():
            found = entry_range(entry)
            if found is not None and _PAGE <= found.size <= 16 * MIB and not ram.touches(found):
                yield Device(device.node, entry, found)


def _free_sections(used: RangeSet, low: int, limit: int, wanted: int) -> Iterator[AddressRange]:
    """Yield ``wanted`` whole sections in a row that nothing names."""
    start = -(-low // _SECTION) * _SECTION
    run: list[AddressRange] = []
    while start + _SECTION <= limit and len(run) < wanted:
        section = AddressRange(start, _SECTION)
        taken = list(used.overlapping(section))
        if taken:
            run = []
            start = -(-taken[-1].stop // _SECTION) * _SECTION
        else:
            run.append(section)
            start += _SECTION
    yield from run


def _around(item: AddressRange) -> AddressRange:
    start = item.start // _SECTION * _SECTION
    return AddressRange.spanning(start, -(-item.stop // _SECTION) * _SECTION)


def _sorted(bench: Bench, more: AddressRange) -> list[AddressRange]:
    return sorted([*(item for item in bench.regions if not item.overlaps(more)), more])


def _device(bench: Bench, *, moved: bool) -> Device:
    """Return a device that a region can cover: above the start of RAM where one is."""
    low = next(iter(bench.ram)).start // GIB * GIB
    fitting = [item for item in bench.devices if item.is_moved is moved and not bench.ram.touches(_around(item.range))]
    for item in sorted(fitting, key=lambda item: (item.range.start < low, item.range.start)):
        return item
    kind = "behind a bus that moves addresses" if moved else "on the CPU's own bus"
    raise NotApplicable(f"no enabled device {kind} lies apart from RAM")


def _over_device(bench: Bench) -> bytes:
    return bench.with_regions(_sorted(bench, _around(_device(bench, moved=False).range)))


def _over_moved_device(bench: Bench) -> bytes:
    return bench.with_regions(_sorted(bench, _around(_device(bench, moved=True).range)))


def _at_bus_address(bench: Bench) -> bytes:
    for item in bench.devices:
        place = AddressRange(item.bus_address // _SECTION * _SECTION, _SECTION)
        if item.is_moved and place.start and place.stop <= 1 << 32 and not bench.used.touches(place):
            if place.overlaps(bench.grant):
                continue
            return bench.with_regions(_sorted(bench, place))
    raise NotApplicable("no device's bus address, read as the CPU's, is free space")


def _over_ram(bench: Bench) -> bytes:
    first = next(iter(bench.ram))
    place = _around(AddressRange(first.start, min(first.size, _SECTION)))
    return bench.with_regions(_sorted(bench, place))


def _reserved_memory(bench: Bench, root: Node) -> Node:
    found = root.child("reserved-memory")
    if found is None:
        both = {"#address-cells": cells((bench.counts.address,)), "#size-cells": cells((bench.counts.size,)), "ranges": b""}
        return new_node("reserved-memory", root, both)
    own = tuple(prop.u32 if (prop := found.prop(name)) is not None else None for name in ("#address-cells", "#size-cells"))
    if own != tuple(bench.counts) or found.prop("ranges") is None:
        raise NotApplicable("Linux ignores this tree's /reserved-memory")
    return found


def _over_reserved(bench: Bench) -> bytes:
    root = bench.root()
    place = AddressRange(bench.regions[0].start + 16 * MIB, MIB)
    child = new_node("seeded-firmware", _reserved_memory(bench, root), {"no-map": b""})
    set_property(child, "reg", bench.reg([place]))
    return bench.blob(root)


def _over_region(bench: Bench) -> bytes:
    one, other = bench.regions
    return bench.with_regions([one, AddressRange(one.start + _SECTION // 2, _SECTION), other])


def _over_grant_table(bench: Bench) -> bytes:
    return bench.with_regions(_sorted(bench, _around(bench.grant)))


def _memory_over_device(bench: Bench) -> bytes:
    root = bench.root()
    device = _device(bench, moved=False)
    start = device.range.start // _PAGE * _PAGE
    place = AddressRange.spanning(start, -(-device.range.stop // _PAGE) * _PAGE)
    node = new_node("memory", root, {"device_type": strings("memory")})
    set_property(node, "reg", bench.reg([place]))
    return bench.blob(root)


def _reserved_over_reserved(bench: Bench) -> bytes:
    root = bench.root()
    parent = _reserved_memory(bench, root)
    first = next(iter(bench.ram))
    free = RangeSet([first]).difference(RangeSet(_everything(bench.board)))
    place = next((run for run in free if run.size >= 4 * MIB), None)
    if place is None:
        raise NotApplicable("the first bank of RAM has no four megabytes that nobody reserves")
    for name, at in (("seeded-one", place.start), ("seeded-two", place.start + MIB)):
        set_property(new_node(name, parent), "reg", bench.reg([(at, 2 * MIB)]))
    return bench.blob(root)


def _device_over_device(bench: Bench) -> bytes:
    root = bench.root()
    alone = [item for item in bench.devices if item.node.parent is not None and not item.node.children]
    chosen = next((item for item in alone if not item.is_moved and not _shared(item.node)), None)
    if chosen is None:
        raise NotApplicable("no enabled device stands alone on the CPU's own bus")
    half = chosen.range.size // 2
    node = new_node("seeded-device", root, {"compatible": strings("seeded,device")})
    set_property(node, "reg", bench.reg([(chosen.range.start + half, chosen.range.size)]))
    return bench.blob(root)


def _shared(node: Node) -> bool:
    current: Node | None = node
    while current is not None and current.parent is not None:
        if current.prop("reg") is not None and (current.is_compatible("syscon") or current.is_compatible("simple-mfd")):
            return True
        current = current.parent
    return False


def _no_region(bench: Bench) -> bytes:
    return bench.with_regions([])


def _size_zero(bench: Bench) -> bytes:
    return bench.with_regions([(0, 0), *bench.regions])


def _descending(bench: Bench) -> bytes:
    return bench.with_regions(reversed(bench.regions))


def _grant_in_ram(bench: Bench) -> bytes:
    first = next(iter(bench.ram))
    return bench.with_regions(bench.regions, AddressRange(first.start + first.size // 2 // _PAGE * _PAGE, 256 * 1024))


def _small_grant(bench: Bench) -> bytes:
    return bench.with_regions(bench.regions, AddressRange(bench.grant.start, _PAGE))


def _too_small(bench: Bench) -> bytes:
    return bench.with_regions([(item.start + 2 * MIB, item.size - 4 * MIB) for item in bench.regions])


def _renamed(bench: Bench) -> bytes:
    root = bench.root()
    _hypervisor(root).name = f"hypervisor@{bench.grant.start:x}"
    return bench.blob(root)


def _swapped_compatible(bench: Bench) -> bytes:
    root = bench.root()
    set_property(_hypervisor(root), "compatible", strings("xen,xen", "xen,xen-4.22"))
    return bench.blob(root)


FAULTS: Final[tuple[Fault, ...]] = (
    Fault("extended region over a device", frozenset({"X01", "X02"}), _REGION_RULES, _over_device),
    Fault(
        "extended region over a device behind a translating bus",
        frozenset({"X01", "X02"}),
        _REGION_RULES,
        _over_moved_device,
    ),
    Fault("extended region at the bus address of a device", frozenset(), frozenset({"X13"}), _at_bus_address),
    Fault("extended region over RAM", frozenset({"X03"}), _REGION_RULES, _over_ram),
    Fault("extended region over reserved memory", frozenset({"X05"}), _REGION_RULES, _over_reserved),
    Fault("extended region over another", frozenset({"X08"}), frozenset(), _over_region),
    Fault("extended region over the grant table", frozenset({"X06"}), frozenset(), _over_grant_table),
    Fault("extended regions descending", frozenset({"X08"}), frozenset(), _descending),
    Fault("extended region of size zero", frozenset({"X09"}), _REGION_RULES, _size_zero),
    Fault("extended regions too small", frozenset({"X11"}), frozenset(), _too_small),
    Fault("no extended region", frozenset({"X22"}), frozenset(), _no_region),
    Fault("grant table in RAM", frozenset({"X29"}), frozenset(), _grant_in_ram),
    Fault("grant table too small", frozenset({"X28"}), frozenset(), _small_grant),
    Fault("hypervisor node with a unit address", frozenset({"X23"}), frozenset(), _renamed),
    Fault("compatible in the wrong order", frozenset({"X24"}), frozenset(), _swapped_compatible),
    Fault("memory over a device", frozenset({"O01"}), frozenset(), _memory_over_device),
    Fault("reserved memory over reserved memory", frozenset({"O03"}), frozenset(), _reserved_over_reserved),
    Fault("device over a device", frozenset({"O02"}), frozenset(), _device_over_device),
)

"""Rules about any tree's own layout: cells, memory nodes, reservations, devices that lie on each other."""

from itertools import islice
from typing import Final

from dtanalyze.address.lookup import Lookup
from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range
from dtanalyze.board.model import entry_range
from dtanalyze.devicetree.cells import inherited_cells, read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Cure, Severity, Source
from dtanalyze.linux.memblock import Claimed
from dtanalyze.rules.cures.memory import cut_banks_cure, disjoint_cures, reserved_memory_cure
from dtanalyze.rules.cures.ranges import whole_entries, whole_ranges_cures
from dtanalyze.rules.examples import guest
from dtanalyze.rules.model import TREE, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.overlap import MOST_AT_ONE_PLACE, Overlap, Side, device_overlaps, device_sides, sits_in_ram
from dtanalyze.rules.view import TreeView, shown

__all__ = ["LAYOUT"]

_ADDRESS: Final = Source("Linux", "drivers/of/address.c", "of_n_addr_cells, __of_translate_address", "5.17 to 7.3")
_FDT: Final = Source("Linux", "drivers/of/fdt.c", "early_init_dt_scan_memory, early_init_dt_scan_root", "5.17 to 7.3")
_RESERVED: Final = Source("Linux", "drivers/of/of_reserved_mem.c", "__reserved_mem_check_root", "5.17 to 7.3")
_UART: Final = 'serial@9000000 { compatible = "ns16550a"; reg = <0x0 0x9000000 0x0 0x1000>; };'


@rule(
    "X20",
    "root-cells-missing",
    Severity.ERROR,
    TREE,
    what="The root has no #address-cells or no #size-cells.",
    why="Xen then assumes 2 and 1. Linux up to 6.12 assumes 1 and 1, and from 6.13 on it sees no addresses below the root "
    "at all.",
    advice="Add both properties to the root, with the numbers of cells that the reg of its children have.",
    sources=(_ADDRESS, Source("Xen", "xen/common/device-tree/device-tree.c", "dt_n_addr_cells", "4.16 and newer")),
    bad=Example(guest(cells="#size-cells = <2>;")),
    good=Example(guest()),
)
def root_cells_missing(view: TreeView) -> Hits:
    root = view.board.tree.root
    missing = [name for name in ("#address-cells", "#size-cells") if root.prop(name) is None]
    if missing:
        yield Hit(f"the root has no {' and no '.join(missing)}", "/", (), root.offset)


@rule(
    "X21",
    "partial-reg-entry",
    Severity.WARNING,
    TREE,
    what="A reg is no whole number of entries, counted in the #address-cells and #size-cells of the parent.",
    why="Linux and Xen ignore the tail. Often the cells are wrong, and every entry is misread. Linux 7.3 drops such a "
    "memory node whole.",
    advice="Correct reg, or the #address-cells and #size-cells of the parent.",
    sources=(_ADDRESS, _FDT),
    bad=Example(guest(memory='memory@40000000 { device_type = "memory"; reg = <0x0 0x40000000 0x0 0x40000000 0x0>; };')),
    good=Example(guest()),
)
def partial_reg_entry(view: TreeView) -> Hits:
    board = view.board
    nodes = [item.node for item in board.memory if item.enabled]
    nodes += [item.node for item in board.reservations if item.enabled]
    nodes += [*board.hypervisors, *(device.node for device in board.devices if device.enabled)]
    for node in nodes:
        prop = node.prop("reg")
        width = _entry_width(node, view)
        if prop is not None and width and len(prop.value) % width:
            text = f"reg of {node.path} has {len(prop.value)} bytes, and each entry takes {width} by the cells of its parent"
            yield Hit(text, node.path, (), prop.offset)


def _entry_width(node: Node, view: TreeView) -> int:
    """Return the bytes of one entry of ``reg``, 0 where a bus has addresses of another kind."""
    parent = node.parent
    bus = view.board.rules.bus_of(parent) if parent is not None else None
    if parent is None or bus is None or bus.addresses != "reg":
        return 0
    counts = view.board.rules.counts(bus, parent)
    return 4 * (counts.address + counts.size)


_BUS: Final = (
    'soc {{ compatible = "simple-bus"; #address-cells = <1>; #size-cells = <1>; '
    "ranges = <0x0 0x0 0x9000000 0x10000{tail}>; }};"
)


@rule(
    "X48",
    "partial-ranges-entry",
    Severity.WARNING,
    TREE,
    what="The ranges of a bus are no whole number of entries, counted in its own cells and those of its parent.",
    why="Linux and Xen ignore the tail. The devices behind it have no CPU address, and Xen stops at the first such "
    "device. Often the cells are wrong, and every entry is misread.",
    advice="Make ranges agree with the bus's #address-cells and #size-cells and with the parent's #address-cells: complete "
    "the last entry, or cut it off.",
    sources=(_ADDRESS,),
    bad=Example(guest(more=_BUS.format(tail=" 0x10000"))),
    good=Example(guest(more=_BUS.format(tail=""))),
)
def partial_ranges_entry(view: TreeView) -> Hits:
    rules = view.board.rules
    for node in view.board.tree.root:
        if not whole_entries(node, rules):
            prop = node.prop("ranges")
            yield Hit(
                f"the ranges of {node.path} are no whole number of entries",
                node.path,
                (),
                prop.offset if prop is not None else node.offset,
                cures=whole_ranges_cures(node, rules),
            )


_RSV: Final = "reserved-memory {{ {cells} ranges; firmware@50000000 {{ reg = {reg}; }}; }};"
_TWO: Final = "#address-cells = <2>; #size-cells = <2>;"


@rule(
    "X37",
    "reserved-memory-ignored",
    Severity.ERROR,
    TREE,
    what="/reserved-memory has other cells than the root, or no ranges.",
    why="Linux then ignores every child, and gives the memory of firmware or a coprocessor to programs. Xen reads the "
    "children all the same.",
    advice="Repeat the root's #address-cells and #size-cells in /reserved-memory, and add an empty `ranges;`.",
    sources=(_RESERVED,),
    bad=Example(guest(more=_RSV.format(cells="#address-cells = <1>; #size-cells = <1>;", reg="<0x50000000 0x100000>"))),
    good=Example(guest(more=_RSV.format(cells=_TWO, reg="<0x0 0x50000000 0x0 0x100000>"))),
)
def reserved_memory_ignored(view: TreeView) -> Hits:
    node = view.board.reserved_memory
    if node is None or not any(item.enabled and item.node.prop("reg") for item in view.board.reservations):
        return
    own = tuple(prop.u32 if (prop := node.prop(name)) is not None else None for name in ("#address-cells", "#size-cells"))
    root = inherited_cells(view.board.tree.root, view.board.rules.root_default)
    if own != tuple(root):
        stated = "/".join("none" if item is None else str(item) for item in own)
        yield Hit(
            f"{node.path} has #address-cells/#size-cells {stated}, the root {root.address}/{root.size}: Linux ignores all "
            "its children",
            node.path,
            (),
            node.offset,
            cures=_as_a_tuple(reserved_memory_cure(node)),
        )
    elif node.prop("ranges") is None:
        text = f"{node.path} has no ranges: Linux ignores all its children"
        yield Hit(text, node.path, (), node.offset, cures=_as_a_tuple(reserved_memory_cure(node)))


def _as_a_tuple(cure: Cure | None) -> tuple[Cure, ...]:
    return (cure,) if cure is not None else ()


_TWO_TUPLES: Final = "<0x0 0x50000000 0x0 0x100000>, <0x0 0x51000000 0x0 0x100000>"


@rule(
    "X38",
    "reserved-memory-second-entry",
    Severity.ERROR,
    TREE,
    what="A child of /reserved-memory has several entries in its reg.",
    why="Linux 7.3 reserves the first entry only. It uses the other ranges as RAM.",
    advice="Give each range a node of its own.",
    sources=(Source("Linux", "drivers/of/of_reserved_mem.c", "__reserved_mem_reserve_reg", "7.3"),),
    bad=Example(guest(more=_RSV.format(cells=_TWO, reg=_TWO_TUPLES)), linux="7.3"),
    good=Example(guest(more=_RSV.format(cells=_TWO, reg="<0x0 0x50000000 0x0 0x100000>")), linux="7.3"),
)
def reserved_memory_second_entry(view: TreeView) -> Hits:
    if not view.linux.reserved_first_tuple_only:
        return
    for item in view.board.reservations:
        if item.enabled and len(item.entries) > 1:
            lost = tuple(RawRange(read_number(entry.bus_cells), entry.size) for entry in item.entries[1:])
            spans = ", ".join(format_range(entry.start, entry.stop) for entry in lost)
            yield Hit(f"{item.node.path}: Linux {view.linux.name} does not reserve {spans}", item.node.path, lost,
                      item.entries[1].offset)  # fmt: skip


@rule(
    "X40",
    "memory-nodes-overlap",
    Severity.WARNING,
    TREE,
    what="Two entries of memory nodes name the same RAM.",
    why="Linux merges them. Xen sorts its banks and takes them for disjoint.",
    advice="Name each piece of RAM once.",
    sources=(_FDT, Source("Xen", "xen/arch/arm/setup.c", "setup_mm", "4.16 and newer")),
    bad=Example(guest(more='memory@60000000 { device_type = "memory"; reg = <0x0 0x60000000 0x0 0x40000000>; };')),
    good=Example(guest(more='memory@c0000000 { device_type = "memory"; reg = <0x0 0xc0000000 0x0 0x10000000>; };')),
)
def memory_nodes_overlap(view: TreeView) -> Hits:
    one = None
    for other in sorted(view.memory.banks, key=lambda bank: bank.range):
        if one is not None and one.range.overlaps(other.range):
            yield Hit(
                f"{other.source} [{format_range(other.range.start, other.range.stop)}] overlaps {one.source} "
                f"[{format_range(one.range.start, one.range.stop)}]",
                other.source,
                (one.range, other.range),
                other.offset,
            )
        if one is None or other.range.stop > one.range.stop:
            one = other


@rule(
    "O01",
    "ram-over-device",
    Severity.ERROR,
    TREE,
    what="A memory node covers the registers of an enabled device.",
    why="The kernel uses the device's registers as RAM: reads and writes of any program go to the device.",
    advice="Cut the memory node so that it leaves the device out. If a boot loader replaces the node, pass the real RAM "
    "with --memory.",
    sources=(_FDT,),
    bad=Example(guest(more='serial@50000000 { compatible = "ns16550a"; reg = <0x0 0x50000000 0x0 0x1000>; };')),
    good=Example(guest(more=_UART)),
)
def ram_over_device(view: TreeView) -> Hits:
    banks, claims = Lookup(view.memory.banks), Lookup(view.memory.reserved)
    covered: list[tuple[Claimed, Side]] = []
    told = 0  # where those told so far end; they begin no later than those to come
    for side in device_sides(view.board.devices):
        within = side.range.stop <= told
        if within or not view.memory.memory.touches(side.range) or _explained(side, claims):
            continue
        told = max(told, side.range.stop)
        covered += [(bank, side) for bank in banks.touching(side.range)]
    devices: dict[tuple[AddressRange, str], list[AddressRange]] = {}
    for bank, side in covered:
        devices.setdefault((bank.range, bank.source), []).append(side.range)
    cures = {key: _as_a_tuple(cut_banks_cure(view.board.tree, *key, spans)) for key, spans in devices.items()}
    for bank, side in covered:
        yield Hit(
            f"RAM of {bank.source} [{format_range(bank.range.start, bank.range.stop)}] covers the device "
            f"{shown(side.node, side.entry, side.range)}",
            side.node.path,
            (bank.range, side.range),
            side.entry.offset,
            cures=cures[bank.range, bank.source],
        )


def _explained(side: Side, claims: Lookup[Claimed]) -> bool:
    """Tell whether a device is meant to lie in RAM: it describes memory, or a reservation keeps the range free."""
    return bool(sits_in_ram(side.node)) or any(claim.range.covers(side.range) for claim in claims.touching(side.range))


_OTHER: Final = 'spi@{at} {{ compatible = "arm,pl022"; reg = <0x0 0x{at} 0x0 0x1000>; }};'


@rule(
    "O02",
    "device-over-device",
    Severity.WARNING,
    TREE,
    what="Two enabled devices name the same registers, and nothing in the tree says that this is meant.",
    why="Linux refuses the second driver with -EBUSY, or both drivers write the same registers. Trees share registers on "
    "purpose too (syscon, simple-mfd, parts of a block, nested nodes): such pairs are not reported.",
    advice="Correct the address of one device, or disable one of the two.",
    sources=(Source("Linux", "kernel/resource.c", "__request_region", "5.17 to 7.3"),),
    bad=Example(guest(more=_UART + _OTHER.format(at="9000800"))),
    good=Example(guest(more=_UART + _OTHER.format(at="9001000"))),
)
def device_over_device(view: TreeView) -> Hits:
    for overlap in device_overlaps(view.board):
        if not overlap.reason:
            one, other = overlap.one, overlap.other
            yield Hit(
                f"{shown(other.node, other.entry, other.range)} {_HOW[overlap.shape]} "
                f"{shown(one.node, one.entry, one.range)}",
                other.node.path,
                (one.range, other.range),
                other.entry.offset,
                _overlap_severity(overlap),
            )


_HOW: Final = {"equal": "has the registers of", "inside": "lies within", "partial": "overlaps"}


def _overlap_severity(overlap: Overlap) -> Severity:
    """ERROR where the kernel itself claims both (AMBA devices), INFO where one holds the other: blocks are drawn so."""
    if all(side.node.is_compatible("arm,primecell") for side in (overlap.one, overlap.other)):
        return Severity.ERROR
    return Severity.WARNING if overlap.shape == "partial" else Severity.INFO


_TWO_RSV: Final = (
    "reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; "
    "one@50000000 {{ reg = <0x0 0x50000000 0x0 0x100000>; }}; two@{at} {{ reg = <0x0 0x{at} 0x0 0x100000>; }}; }};"
)


@rule(
    "O03",
    "reserved-over-reserved",
    Severity.WARNING,
    TREE,
    what="Two enabled reservations share addresses.",
    why='Linux prints "OVERLAP DETECTED!" and goes on, and two owners use the same memory. Xen from 4.18 on ends its scan '
    "of the tree there, or panics.",
    advice="Make the reservations disjoint. If one is a part of the other, keep one node.",
    sources=(Source("Linux", "drivers/of/of_reserved_mem.c", "__rmem_check_for_overlap", "5.17 to 7.3"),),
    bad=Example(guest(more=_TWO_RSV.format(at="50080000"))),
    good=Example(guest(more=_TWO_RSV.format(at="50100000"))),
)
def reserved_over_reserved(view: TreeView) -> Hits:
    claims = [
        (found, item.node, entry)
        for item in view.board.reservations
        if item.enabled
        for entry in item.entries
        if (found := _reserved_range(entry_range(entry), entry.bus_cells, entry.size)) is not None
    ]
    claims.sort(key=lambda claim: claim[0])
    for index, (one, node, first) in enumerate(claims):
        for other, other_node, entry in islice(claims, index + 1, index + 1 + MOST_AT_ONE_PLACE):
            if other.start >= one.stop:
                break
            yield Hit(
                f"{shown(other_node, entry, other)} overlaps {shown(node, first, one)}",
                other_node.path,
                (one, other),
                entry.offset,
                cures=tuple(disjoint_cures(other_node, node)),
            )


def _reserved_range(found: AddressRange | None, cells: tuple[int, ...], size: int) -> AddressRange | None:
    return found or RawRange(read_number(cells), size).checked()


LAYOUT: Final[tuple[Rule, ...]] = (
    root_cells_missing,
    partial_reg_entry,
    partial_ranges_entry,
    reserved_memory_ignored,
    reserved_memory_second_entry,
    memory_nodes_overlap,
    ram_over_device,
    device_over_device,
    reserved_over_reserved,
)

"""Rules about what lies over what in a tree that somebody wrote: RAM, devices, reservations."""

from itertools import islice
from typing import Final

from dtanalyze.address.lookup import Lookup
from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import format_range
from dtanalyze.board.model import entry_range
from dtanalyze.devicetree.cells import read_number
from dtanalyze.findings import Severity, Source, cures_of
from dtanalyze.linux.memblock import Claimed
from dtanalyze.rules.cures.memory import cut_banks_cure, disjoint_cures
from dtanalyze.rules.examples import guest
from dtanalyze.rules.layout import FDT
from dtanalyze.rules.model import TREE, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.overlap import MOST_AT_ONE_PLACE, Overlap, Side, device_overlaps, device_sides, sits_in_ram
from dtanalyze.rules.view import TreeView, shown

__all__ = ["LAYOUT_OVERLAPS"]

_UART: Final = 'serial@9000000 { compatible = "ns16550a"; reg = <0x0 0x9000000 0x0 0x1000>; };'


@rule(
    "X40",
    "memory-nodes-overlap",
    Severity.WARNING,
    TREE,
    what="Two entries of memory nodes name the same RAM.",
    why="Linux merges them. Xen sorts its banks and takes them for disjoint.",
    advice="Name each piece of RAM once.",
    sources=(FDT, Source("Xen", "xen/arch/arm/setup.c", "setup_mm", "4.16 and newer")),
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
    sources=(FDT,),
    bad=Example(guest(more='serial@50000000 { compatible = "ns16550a"; reg = <0x0 0x50000000 0x0 0x1000>; };')),
    good=Example(guest(more=_UART)),
)
def ram_over_device(view: TreeView) -> Hits:
    banks, claims = Lookup(view.memory.banks), Lookup(view.memory.reserved)
    covered: list[tuple[Claimed, Side]] = []
    told = 0  # where those told so far end; they begin no later than those to come
    for side in device_sides(view.board):
        within = side.range.stop <= told
        if within or not view.memory.memory.touches(side.range) or _explained(side, claims):
            continue
        told = max(told, side.range.stop)
        covered += [(bank, side) for bank in banks.touching(side.range)]
    devices: dict[tuple[AddressRange, str], list[AddressRange]] = {}
    for bank, side in covered:
        devices.setdefault((bank.range, bank.source), []).append(side.range)
    cures = {key: cures_of(cut_banks_cure(view.board.tree, *key, spans)) for key, spans in devices.items()}
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


LAYOUT_OVERLAPS: Final[tuple[Rule, ...]] = (
    memory_nodes_overlap,
    ram_over_device,
    device_over_device,
    reserved_over_reserved,
)

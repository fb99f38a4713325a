"""Rules about RAM and reserved memory in the tree that Xen boots with."""

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import RawRange
from dtanalyze.address.units import format_range
from dtanalyze.board.bus import XEN
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Cure, Severity, Source
from dtanalyze.rules.cures.memory import disjoint_cures, no_bank_cures, renamed_cures, uncounted_cures
from dtanalyze.rules.cures.modules import moved_cures
from dtanalyze.rules.examples import host
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset, shown

__all__ = ["HOST_MEMORY"]

_BOOTFDT: Final = Source("Xen", "xen/common/device-tree/bootfdt.c", "early_scan_node", "4.16 to 4.22")
_OVERLAP: Final = Source("Xen", "xen/common/device-tree/bootinfo.c", "check_reserved_regions_overlap", "4.18 (6f7d56ccd3)")
_RSV: Final = (
    "reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; "
    "one@50000000 {{ reg = <0x0 0x50000000 0x0 0x100000>; }}; two@{at} {{ reg = <0x0 0x{at} 0x0 0x100000>; }}; }};"
)


@rule(
    "X39",
    "reserved-regions-overlap",
    Severity.ERROR,
    HOST,
    what="A reserved region overlaps another one or a boot module.",
    why="Xen 4.18 ends its scan of the tree there without a message, before it has seen the modules. 4.19 and newer panic "
    'with "Early FDT parsing failed", when no console is up yet.',
    advice="Make the regions disjoint. From Xen 4.20 on Xen takes a region inside a /memreserve/ entry, and no other.",
    sources=(_OVERLAP, _BOOTFDT),
    bad=Example(host(_RSV.format(at="50080000"))),
    good=Example(host(_RSV.format(at="50100000"))),
)
def reserved_regions_overlap(view: HostView) -> Hits:
    node = _stopped_at(view)
    if node is None or not node.path.startswith("/reserved-memory"):
        return
    info = view.prediction.info
    others = [(RawRange(bank.start, bank.size), bank.node) for bank in (*info.reserved_mem, *info.shmem)]
    others += [(RawRange(module.start, module.size), module.node) for module in info.modules]
    for entry in reg_entries(node, XEN):
        address = entry.address
        if address is None:
            continue
        span = RawRange(address, entry.size)
        for other_range, other in others:
            itself = other == node.path and other_range == span
            if span.start < other_range.stop and other_range.start < span.stop and not itself:
                found = view.board.tree.find(other) if other.startswith("/reserved-memory/") else None
                yield Hit(
                    f"{shown(node, entry, span)} overlaps {other or 'the boot module'} "
                    f"[{format_range(other_range.start, other_range.stop)}]",
                    node.path,
                    (span, other_range),
                    entry.offset,
                    cures=tuple(_apart(view, node, found, span, other_range)),
                )


def _apart(view: HostView, node: Node, other: Node | None, span: RawRange, taken: RawRange) -> Iterator[Cure]:
    """Yield what takes a reservation and another one, or a boot module, apart."""
    if other is not None:
        yield from disjoint_cures(node, other)
        return
    modules = (item for item in view.prediction.info.modules if item.start == taken.start and item.start < span.stop)
    yield from moved_cures(view, tuple(modules))


def _stopped_at(view: HostView) -> Node | None:
    path = view.prediction.info.stopped_at
    return view.board.tree.find(path) if view.first and path is not None else None


@rule(
    "X46",
    "memory-node-without-reg",
    Severity.ERROR,
    HOST,
    what="A node that Xen takes for memory has no usable reg.",
    why="Xen up to 4.18 ends its scan of the tree there without a message, and 4.19 panics. Up to 4.19 Xen takes any node "
    "that is called memory for one, at any depth.",
    advice="Rename the node, or give it a reg in the #address-cells and #size-cells of its parent.",
    sources=(_BOOTFDT,),
    bad=Example(host("soc { memory@0 { }; };"), xen="4.17"),
    good=Example(host("soc { sram@0 { }; };"), xen="4.17"),
)
def memory_node_without_reg(view: HostView) -> Hits:
    node = _stopped_at(view)
    # Below /reserved-memory one with a reg has stopped the scan by overlapping, which another rule says.
    if node is not None and node.base_name == "memory" and (node.prop("reg") is None or node.path.count("/") == 1):
        stops = "panics there" if view.prediction.info.panic else "ends its scan there, and sees nothing of what follows"
        text = f"{node.path} has no reg that Xen {view.xen.name} can use: Xen {stops}"
        yield Hit(text, node.path, (), property_offset(node), cures=tuple(no_bank_cures(node)))


_TWICE: Final = 'memory@{at} {{ device_type = "memory"; reg = <0x0 0x{at} 0x0 0x20000000>; }};'


@rule(
    "B05",
    "ram-named-twice",
    Severity.ERROR,
    HOST,
    what="Two banks name the same RAM: entries of memory nodes, or, from 4.17 to 4.19, a child of /reserved-memory called "
    "memory@….",
    why='Xen takes banks for disjoint. It frees or maps that RAM twice and dies before its console is up: "Xen BUG at '
    'common/page_alloc.c", or "Unable to setup the directmap mappings.".',
    advice="Cut reg of one of the two nodes, so that each piece of RAM stands once. A reservation needs another name than "
    "memory@…, or Xen 4.20 or newer, which looks for memory below the root only.",
    sources=(_BOOTFDT, Source("Xen", "xen/common/page_alloc.c", "bootmem_region_add", "4.16 to 4.22")),
    bad=Example(host(_TWICE.format(at="b0000000"))),
    good=Example(host(_TWICE.format(at="c0000000"))),
)
def ram_named_twice(view: HostView) -> Hits:
    stop = view.prediction.stopped_by
    dies = view.first and stop is not None and stop.stage == "memory"  # 4.16 maps a reservation twice, and goes on
    top = None
    for bank in view.prediction.info.mem if dies else ():
        if top is not None and bank.start < top.stop:
            one, other = (view.board.tree.find(item.node) for item in (top, bank))
            spans = (RawRange(top.start, top.size), RawRange(bank.start, bank.size))
            yield Hit(
                f"{bank.node} [{format_range(bank.start, bank.stop)}] names RAM that {top.node} "
                f"[{format_range(top.start, top.stop)}] has",
                bank.node,
                spans,
                property_offset(other) if other is not None else None,
                cures=tuple(_ram_cures(view, one, other)) if one is not None and other is not None else (),
            )
        top = bank if top is None or bank.stop > top.stop else top


def _ram_cures(view: HostView, one: Node, other: Node) -> Iterator[Cure]:
    reservation = next((item for item in (one, other) if item.path.startswith("/reserved-memory/")), None)
    if reservation is not None:
        yield from renamed_cures(reservation, view.board.tree)
    else:
        yield from disjoint_cures(other, one)


_UNTYPED: Final = "memory@c0000000 {{ {kind} reg = <0x0 0xc0000000 0x0 0x10000000>; }};"


@rule(
    "X41",
    "memory-node-read-differently",
    Severity.ERROR,
    HOST,
    what="Xen takes a node for memory and Linux does not, or the other way round.",
    why='Linux asks for device_type = "memory". Xen up to 4.19 asks for the name memory, at any depth; from 4.20 on for '
    "both, below the root. RAM is lost, or a device's memory is used as RAM.",
    advice='Name RAM `memory@…` below the root, with `device_type = "memory";`. Give nothing else that name or type.',
    sources=(_BOOTFDT, Source("Linux", "drivers/of/fdt.c", "early_init_dt_scan_memory", "5.17 to 7.3")),
    bad=Example(host(_UNTYPED.format(kind="")), xen="4.17"),
    good=Example(host(_UNTYPED.format(kind='device_type = "memory";')), xen="4.17"),
)
def memory_node_read_differently(view: HostView) -> Hits:
    info = view.prediction.info
    if not view.first or info.stopped_at is not None:
        return
    by_xen = {bank.node for bank in info.mem}
    reserved = {bank.node for bank in info.reserved_mem}
    for node in view.board.tree.root:
        typed = node.device_type == "memory" and node.prop("reg") is not None and node.available
        named = node.base_name == "memory" and node.prop("reg") is not None
        if node.path in by_xen - reserved and not typed and node.available:
            yield Hit(f"Xen {view.xen.name} takes {node.path} for RAM, Linux does not", node.path, (), property_offset(node))
        elif typed and node.path not in by_xen and _has_size(node):
            why = "" if named else ": its name is not memory"
            yield Hit(
                f"Linux takes {node.path} for RAM, Xen {view.xen.name} does not{why}", node.path, (), property_offset(node)
            )


def _has_size(node: Node) -> bool:
    return any(entry.size for entry in reg_entries(node, XEN))


_DISABLED: Final = (
    "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; "
    'dsp@50000000 { status = "disabled"; reg = <0x0 0x50000000 0x0 0x10000000>; }; };'
)


@rule(
    "X47",
    "disabled-memory-counts",
    Severity.ERROR,
    HOST,
    what="A memory or reserved-memory node is disabled, and this release of Xen uses it all the same.",
    why="Xen up to 4.18 does not read status there. It uses RAM that does not exist, or keeps RAM free for nobody. An "
    "overlap with a disabled reservation ends its scan of the tree.",
    advice="Remove the node, or use Xen 4.19 or newer (c419d2dd35).",
    sources=(Source("Xen", "xen/arch/arm/bootfdt.c", "device_tree_get_meminfo", "before 4.19 (c419d2dd35)"),),
    bad=Example(host(_DISABLED), xen="4.17"),
    good=Example(host(_DISABLED.replace("disabled", "okay")), xen="4.17"),
)
def disabled_memory_counts(view: HostView) -> Hits:
    if not view.first or view.xen.status_honoured:
        return
    info = view.prediction.info
    counted = {bank.node: "takes it for RAM" for bank in info.mem}
    counted |= {bank.node: "reserves its memory" for bank in info.reserved_mem}
    if info.stopped_at is not None:
        counted.setdefault(info.stopped_at, "ends its scan of the tree there")
    for node in view.board.tree.root:
        if not node.available and node.path in counted and _is_memory(node):
            text = f"{node.path} is disabled, but Xen {view.xen.name} {counted[node.path]}"
            yield Hit(text, node.path, (), property_offset(node), cures=tuple(uncounted_cures(node)))


def _is_memory(node: Node) -> bool:
    return node.base_name == "memory" or node.path.startswith("/reserved-memory/")


HOST_MEMORY: Final[tuple[Rule, ...]] = (
    reserved_regions_overlap,
    memory_node_without_reg,
    ram_named_twice,
    memory_node_read_differently,
    disabled_memory_counts,
)

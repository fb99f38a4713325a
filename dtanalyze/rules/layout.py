"""Rules about how a tree is laid out: cells, whole entries, reserved memory that Linux reads."""

from typing import Final

from dtanalyze.address.range import RawRange
from dtanalyze.address.units import format_range
from dtanalyze.devicetree.cells import inherited_cells, read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Severity, Source, cures_of
from dtanalyze.rules.cures.memory import reserved_memory_cure
from dtanalyze.rules.cures.windows import whole_entries, whole_ranges_cures
from dtanalyze.rules.examples import guest
from dtanalyze.rules.model import TREE, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import TreeView

__all__ = ["FDT", "LAYOUT"]

_ADDRESS: Final = Source("Linux", "drivers/of/address.c", "of_n_addr_cells, __of_translate_address", "5.17 to 7.3")
FDT: Final = Source("Linux", "drivers/of/fdt.c", "early_init_dt_scan_memory, early_init_dt_scan_root", "5.17 to 7.3")
_RESERVED: Final = Source("Linux", "drivers/of/of_reserved_mem.c", "__reserved_mem_check_root", "5.17 to 7.3")


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
    sources=(_ADDRESS, FDT),
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
            cures=cures_of(reserved_memory_cure(node)),
        )
    elif node.prop("ranges") is None:
        text = f"{node.path} has no ranges: Linux ignores all its children"
        yield Hit(text, node.path, (), node.offset, cures=cures_of(reserved_memory_cure(node)))


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


LAYOUT: Final[tuple[Rule, ...]] = (
    root_cells_missing,
    partial_reg_entry,
    partial_ranges_entry,
    reserved_memory_ignored,
    reserved_memory_second_entry,
)

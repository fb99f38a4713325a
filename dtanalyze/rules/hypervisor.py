"""Rules about the hypervisor node itself: whether Linux finds it, the grant table, the event channel."""

from typing import Final

from dtanalyze.address.units import format_range, format_size
from dtanalyze.board.model import entry_range
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Severity, Source
from dtanalyze.linux.profile import Arch
from dtanalyze.rules.examples import RAM, guest
from dtanalyze.rules.model import GUEST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import GuestView, property_offset

__all__ = ["HYPERVISOR"]

_DEFAULT_FRAMES: Final = 64
_PAGE: Final = 4096

_EARLY: Final = Source("Linux", "arch/arm/xen/enlighten.c", "fdt_find_hyper_node, xen_early_init", "5.17 to 7.3")
_GUEST_INIT: Final = Source("Linux", "arch/arm/xen/enlighten.c", "xen_dt_guest_init, xen_guest_init", "5.17 to 7.3")
_GNTTAB: Final = Source("Linux", "drivers/xen/grant-table.c", "gnttab_setup_auto_xlat_frames", "5.17 to 7.3")

_IRQ: Final = "interrupts = <1 15 8>; interrupt-parent = <1>;"


def _exact(view: GuestView) -> Node | None:
    """Return the child of the root that is called exactly ``hypervisor``."""
    return view.board.tree.root.child("hypervisor")


@rule(
    "X22",
    "no-extended-region",
    Severity.WARNING,
    GUEST,
    what="The hypervisor node lists the grant table only.",
    why="Without extended regions Linux gives a page of its own RAM back to Xen for each grant or foreign page that it "
    "maps.",
    advice="Boot Xen without `ext_regions=0` on its command line. If it is not there, run `dtanalyze check` on the tree "
    "that Xen booted with: it says why Xen found no region.",
    sources=(Source("Linux", "arch/arm/xen/enlighten.c", "arch_xen_unpopulated_init", "5.17 to 7.3"),),
    bad=Example(guest("")),
    good=Example(guest()),
)
def no_extended_region(view: GuestView) -> Hits:
    if view.linux.arch is Arch.ARM:
        return  # Xen gives a 32-bit domain none, and its kernel could not use one: the verdict says so
    if view.on_xen and view.node is not None and view.grant is not None and not view.regions:
        yield Hit(f"{view.node.path} lists no extended region", view.node.path, (), property_offset(view.node))


@rule(
    "X23",
    "hypervisor-misplaced",
    Severity.ERROR,
    GUEST,
    what="The node that is compatible with xen,xen is not called exactly /hypervisor.",
    why="Linux first looks for a child of the root that is called hypervisor, without a unit address. It finds none, and "
    "boots as if there were no Xen.",
    advice="Rename the node to `hypervisor`, directly below the root.",
    sources=(_EARLY,),
    bad=Example(guest(node="hypervisor@38000000")),
    good=Example(guest()),
)
def hypervisor_misplaced(view: GuestView) -> Hits:
    if _exact(view) is not None or view.linux.without_xen:
        return
    chosen = view.board.tree.root.child("chosen")
    # Zephyr's build reads the tree, by its own binding: a unit address is right there, and no Linux boots with it.
    zephyr = chosen is not None and any(name.startswith("zephyr,") for name in chosen.properties)
    rest = "; the tree is Zephyr's, whose binding wants it so" if zephyr else ""
    for node in view.board.hypervisors:
        text = f"{node.path} is compatible with xen,xen, but Linux looks for /hypervisor only{rest}"
        yield Hit(text, node.path, (), node.offset, Severity.INFO if zephyr else None)


@rule(
    "X24",
    "hypervisor-not-recognised",
    Severity.ERROR,
    GUEST,
    what="The compatible of /hypervisor is not a version (xen,xen-VERSION) followed by xen,xen.",
    why="Linux takes the version from the first string, and needs xen,xen among the strings. Otherwise it boots as if "
    "there were no Xen.",
    advice='Write `compatible = "xen,xen-4.20", "xen,xen";` with the release of Xen that runs.',
    sources=(_EARLY,),
    bad=Example(guest(compatible=f'compatible = "xen,xen", "xen,xen-4.22"; {_IRQ}')),
    good=Example(guest()),
)
def hypervisor_not_recognised(view: GuestView) -> Hits:
    node = _exact(view)
    if node is None or view.on_xen or view.linux.without_xen:
        return
    if node.prop("compatible") is None and view.linux.null_compatible_crashes:
        return  # X25's
    yield Hit(view.answer.detection.reason, node.path, (), property_offset(node, "compatible"))


@rule(
    "X25",
    "hypervisor-without-compatible",
    Severity.ERROR,
    GUEST,
    what="/hypervisor has no compatible.",
    why="The kernel reads through a NULL pointer and dies before the console is up, with or without Xen.",
    advice='Add `compatible = "xen,xen-4.20", "xen,xen";` to the node, remove the node, or use Linux 7.1 or newer.',
    sources=(Source("Linux", "arch/arm/xen/enlighten.c", "fdt_find_hyper_node", "before 7.1 (f45ab27774aa)"),),
    bad=Example(guest(compatible=_IRQ)),
    good=Example(guest()),
)
def hypervisor_without_compatible(view: GuestView) -> Hits:
    node = _exact(view)
    crashes = view.linux.null_compatible_crashes and not view.linux.without_xen
    if node is not None and node.prop("compatible") is None and crashes:
        yield Hit(f"{node.path} has no compatible: Linux {view.linux.name} dies in early boot", node.path, (), node.offset)


@rule(
    "X26",
    "another-node-is-used",
    Severity.ERROR,
    GUEST,
    what="A node before /hypervisor is compatible with xen,xen too.",
    why="Linux detects Xen by /hypervisor. It then reads the grant table and the regions from the first node that is "
    "compatible with xen,xen.",
    advice="Remove the other node, or take xen,xen out of its compatible.",
    sources=(_GUEST_INIT,),
    bad=Example(guest(memory='xen { compatible = "xen,xen"; }; ' + RAM)),
    good=Example(guest()),
)
def another_node_is_used(view: GuestView) -> Hits:
    exact = _exact(view)
    if exact is not None and view.on_xen and view.node is not None and view.node is not exact:
        yield Hit(
            f"{view.node.path} stands before {exact.path} and is used in its place", view.node.path, (), view.node.offset
        )


@rule(
    "X28",
    "grant-table-too-small",
    Severity.ERROR,
    GUEST,
    what="The grant table's range is smaller than the frames that Xen gives by default, 64 of 4 KiB.",
    why="Linux reads the start only. It maps as many frames as Xen allows, past the end of the range.",
    advice="Enlarge reg[0] to 4 KiB for each of Xen's gnttab_max_frames (0x40000 for the default of 64).",
    sources=(_GUEST_INIT, _GNTTAB),
    bad=Example(guest(grant="<0x0 0x38000000 0x0 0x800>")),
    good=Example(guest()),
)
def grant_table_too_small(view: GuestView) -> Hits:
    wanted = _DEFAULT_FRAMES * _PAGE
    if view.written:
        return  # Xen's command line is known, and says how many frames there are
    if not view.on_xen or view.node is None or view.grant is None or not view.grant.address or view.grant.size >= wanted:
        return
    size = format_size(view.grant.size)
    yield Hit(
        f"the grant table at {view.grant.address:#x} has {size}, less than the {format_size(wanted)} that Xen gives unless "
        "gnttab_max_frames says otherwise",
        view.node.path,
        (),
        view.grant.offset,
        None if view.grant.size % _PAGE or not view.grant.size else Severity.WARNING,
    )


@rule(
    "X29",
    "grant-table-in-ram",
    Severity.ERROR,
    GUEST,
    what="The grant table's range touches RAM.",
    why="If a part of the range is RAM, memremap refuses it and Linux ends its Xen initialisation. If all of it is RAM, "
    "Linux uses the same pages for itself.",
    advice="Move reg[0] of the hypervisor node to addresses without RAM.",
    sources=(_GUEST_INIT, Source("Linux", "kernel/iomem.c", "memremap", "5.17 to 7.3")),
    bad=Example(guest(grant="<0x0 0x3ff00000 0x0 0x1000000>")),
    good=Example(guest()),
)
def grant_table_in_ram(view: GuestView) -> Hits:
    table = entry_range(view.grant) if view.grant is not None and view.on_xen else None
    if table is None or view.node is None or view.grant is None:
        return
    for bank in view.memory.banks:
        if bank.range.overlaps(table):
            part = "all" if bank.range.covers(table) else "a part"
            yield Hit(
                f"{part} of the grant table [{format_range(table.start, table.stop)}] is RAM of {bank.source}",
                view.node.path,
                (table, bank.range),
                view.grant.offset,
            )


@rule(
    "X30",
    "grant-table-missing",
    Severity.WARNING,
    GUEST,
    what="The hypervisor node gives no place for the grant table.",
    why="Linux then takes the frames of the grant table from its own RAM.",
    advice="Write the grant table's range as the first entry of reg.",
    sources=(_GNTTAB,),
    bad=Example(guest("", grant="<0x0 0x0 0x0 0x1000000>")),
    good=Example(guest()),
)
def grant_table_missing(view: GuestView) -> Hits:
    if view.on_xen and view.node is not None and (view.grant is None or not view.grant.address):
        yield Hit(f"{view.node.path} gives no place for the grant table", view.node.path, (), property_offset(view.node))


@rule(
    "X31",
    "event-channel-unresolved",
    Severity.ERROR,
    GUEST,
    what="The hypervisor node names no interrupt that resolves.",
    why="xen_guest_init returns -ENODEV. Linux then has no grant tables, no event channels and no Xen drivers.",
    advice="Give the node `interrupts`, and an `interrupt-parent` that has #interrupt-cells.",
    sources=(_GUEST_INIT,),
    bad=Example(guest(compatible='compatible = "xen,xen-4.22", "xen,xen"; interrupts = <1 15 8>; interrupt-parent = <9>;')),
    good=Example(guest()),
)
def event_channel_unresolved(view: GuestView) -> Hits:
    if view.on_xen and view.node is not None and view.board.event_channel is None:
        yield Hit(
            f"{view.node.path} names no interrupt that resolves (Xen event channel interrupt not found)",
            view.node.path,
            (),
            property_offset(view.node, "interrupts"),
        )


@rule(
    "X32",
    "hypervisor-status-ignored",
    Severity.INFO,
    GUEST,
    what="/hypervisor has a status other than okay.",
    why="Linux does not read the status of this node: it detects Xen all the same.",
    advice="Remove the node to boot without Xen, or remove its status.",
    sources=(_EARLY,),
    bad=Example(guest(compatible=f'compatible = "xen,xen-4.22", "xen,xen"; status = "disabled"; {_IRQ}')),
    good=Example(guest()),
)
def hypervisor_status_ignored(view: GuestView) -> Hits:
    node = _exact(view)
    if node is not None and not node.available:
        yield Hit(f"Linux ignores the status of {node.path}", node.path, (), property_offset(node, "status"))


HYPERVISOR: Final[tuple[Rule, ...]] = (
    no_extended_region,
    hypervisor_misplaced,
    hypervisor_not_recognised,
    hypervisor_without_compatible,
    another_node_is_used,
    grant_table_too_small,
    grant_table_in_ram,
    grant_table_missing,
    event_channel_unresolved,
    hypervisor_status_ignored,
)

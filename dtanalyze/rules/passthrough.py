"""Rules about what is given to domains: devices, interrupts, registers and where a guest sees them."""

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_range
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Severity, Source
from dtanalyze.rules.examples import host
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset
from dtanalyze.xen.assigned import Assigned
from dtanalyze.xen.dom0less import DomU, device_tree_module
from dtanalyze.xen.domain_build import GUEST_GNTTAB
from dtanalyze.xen.domu_tree import GUEST_PL011, guest_gic
from dtanalyze.xen.partial_tree import GUEST_PHANDLE_GIC, highest_phandle

__all__ = ["PASSTHROUGH"]

_ROUTE: Final = Source("Xen", "xen/arch/arm/irq.c", "route_irq_to_guest", "4.16 to 4.22")
_PFDT: Final = Source(
    "Xen",
    "xen/common/device-tree/dom0less-build.c",
    "domain_handle_dtb_boot_module, handle_passthrough_prop",
    "4.17 to 4.22",
)
_LAYOUT: Final = Source("Xen", "xen/include/public/arch-arm.h", "GUEST_GICD_BASE, GUEST_PL011_BASE", "4.16 to 4.22")
_DEVICE: Final = (
    "{name}@{at} {{ reg = <0x0 0x{at} 0x0 0x1000>; interrupt-parent = <1>; interrupts = <0 {spi} 4>; {more} }}; "
)


def _devices(first: str, second: str) -> str:
    eth = _DEVICE.format(name="eth", at="a000000", spi=40, more="xen,passthrough;")
    return eth + _DEVICE.format(name="dma", at="a010000", spi=first, more=second)


@rule(
    "D14",
    "interrupt-given-away-and-kept",
    Severity.ERROR,
    HOST,
    what="A device that is to be passed through (xen,passthrough) shares an interrupt with a device that dom0 keeps.",
    why="One domain gets an interrupt. Xen gives it to dom0 first, and stops when it builds the domain that gets the "
    'device: "IRQ N is already used by domain 0". No tool reports it when the tree is built.',
    advice="Mark both devices `xen,passthrough;` and give both to the same domain, or leave both to dom0.",
    sources=(_ROUTE,),
    bad=Example(host(_devices("40", ""))),
    good=Example(host(_devices("41", ""))),
)
def interrupt_given_away_and_kept(view: HostView) -> Hits:
    if not view.first or view.prediction.domain != "dom0":
        return
    irqs = view.prediction.nodes.irqs
    # What Xen uses itself is a fault only where a domain may get the device; marked so, dom0 leaves it alone.
    given = view.options.toolstack or any(item.assigned or device_tree_module(item.node) for item in view.domus)
    takers = ("d0", "Xen") if given else ("d0",)
    for node in view.board.tree.root:
        if node.prop("xen,passthrough") is None:
            continue
        for raw in irqs.dt.raw_irqs(node):
            found = irqs.dt.gic_irq(raw)
            owner = irqs.owner(found.irq) if found is not None else None
            if found is not None and owner is not None and owner[0] in takers:
                who = "dom0 keeps" if owner[0] == "d0" else f"{owner[0]} uses"
                yield Hit(
                    f"{node.path} is to be passed through and shares interrupt {found.irq} with {owner[1]}, which {who}",
                    node.path,
                    (),
                    property_offset(node, "interrupts"),
                )
                break


def _guest(name: str, kernel: str, nodes: str) -> str:
    return (
        f'{name} {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0x0 0x40000>; cpus = <1>; '
        f'xen,enhanced = "no-xenstore"; module@{kernel} {{ compatible = "multiboot,kernel", "multiboot,module"; '
        f"reg = <0x0 0x{kernel} 0x0 0x1000>; }}; {nodes} }}; "
    )


_GIVEN: Final = (
    "passthrough {{ #address-cells = <2>; #size-cells = <2>; eth@{guest} {{ "
    "xen,reg = <0x0 0x{at} 0x0 0x1000 0x0 0x{guest}>; }}; }};"
)


def _two(first: str, second: str) -> str:
    one = _guest("guest1", "4a000000", _GIVEN.format(at=first, guest="28000000"))
    return one + _guest("guest2", "4b000000", _GIVEN.format(at=second, guest="28000000"))


@rule(
    "D15",
    "registers-given-to-two-domains",
    Severity.ERROR,
    HOST,
    what="Two domains are given the same host addresses (xen,reg), or one is given what dom0 keeps.",
    why="Xen maps the addresses into both without a message. Two drivers then work one device.",
    advice="Give each device to one domain. Mark it `xen,passthrough;` in the host tree, so that dom0 does not use it.",
    sources=(_PFDT,),
    bad=Example(host(chosen=_two("a000000", "a000000")), xen="4.22"),
    good=Example(host(chosen=_two("a000000", "a010000")), xen="4.22"),
)
def registers_given_to_two_domains(view: HostView) -> Hits:
    if not view.first:
        return
    given = [(domu, item, found) for domu in view.domus for item in domu.assigned if (found := item.host_range) is not None]
    for at, (domu, item, found) in enumerate(given):
        for other, _, range_ in given[:at]:
            if other is not domu and range_.overlaps(found):
                yield _given_hit(
                    domu, item, found, f"{other.node.path}, which has [{format_range(range_.start, range_.stop)}]"
                )
        for node, kept in _kept_by_dom0(view):
            if kept.overlaps(found):
                text = f"dom0, which keeps {node.path} [{format_range(kept.start, kept.stop)}]"
                yield _given_hit(domu, item, found, text)


def _given_hit(domu: DomU, item: Assigned, found: AddressRange, also: str) -> Hit:
    span = format_range(found.start, found.stop)
    return Hit(f"{domu.node.path} is given [{span}] by {item.node.path}, and so is {also}", domu.node.path, (found,),
               domu.node.offset)  # fmt: skip


def _kept_by_dom0(view: HostView) -> Iterator[tuple[Node, AddressRange]]:
    if view.prediction.domain != "dom0":
        return
    for node, entries in view.entries:
        kept = view.prediction.nodes.is_kept(node) and node.prop("xen,passthrough") is None
        for entry in entries if kept and not node.children else ():
            if entry.address is not None and entry.size and entry.address + entry.size <= 1 << 64:
                yield node, AddressRange(entry.address, entry.size)


@rule(
    "D16",
    "passthrough-over-guest-layout",
    Severity.ERROR,
    HOST,
    what="Registers are passed through at an address where the guest has its own GIC, UART, grant table, RAM or shared "
    "memory.",
    why="Xen maps them over what is there, or emulates what is there over them. The guest reaches one of the two, or "
    "neither.",
    advice="Choose another guest address, the third value of `xen,reg`. The guest layout leaves 0x23000000-0x37ffffff free.",
    sources=(_PFDT, _LAYOUT),
    bad=Example(host(chosen=_guest("guest", "4a000000", _GIVEN.format(at="a000000", guest="3001000")))),
    good=Example(host(chosen=_guest("guest", "4a000000", _GIVEN.format(at="a000000", guest="28000000")))),
)
def passthrough_over_guest_layout(view: HostView) -> Hits:
    domu = view.prediction.domu
    if domu is None:
        return
    toolstack = view.prediction.toolstack is not None
    for item in domu.assigned:
        found = item.range
        for what, there in _guest_layout(view, domu) if found is not None else ():
            if found is not None and found.overlaps(there):
                whose = f"iomem of {domu.node.name}" if toolstack else item.node.path
                yield Hit(
                    f"{whose} is passed through at [{format_range(found.start, found.stop)}], over {what} of "
                    f"{view.prediction.domain} [{format_range(there.start, there.stop)}]",
                    None if toolstack else domu.node.path,
                    (found, there),
                    None if toolstack else domu.node.offset,
                    advice=_OF_IOMEM if toolstack else "",
                )


_OF_IOMEM: Final = (
    "Choose another guest address in `iomem`, the page frame behind the `@`, and in the partial tree. The guest layout "
    "leaves 0x23000000-0x37ffffff free."
)


def _guest_layout(view: HostView, domu: DomU) -> Iterator[tuple[str, AddressRange]]:
    yield from (("the interrupt controller", item) for item in guest_gic(view.board.tree, domu))
    if domu.vpl011 and not domu.direct_map:
        yield "the emulated UART", GUEST_PL011
    if domu.enhanced:
        yield "the grant table", GUEST_GNTTAB
    yield from (("the RAM", item) for item in domu.memory)
    yield from (("shared memory", item) for item in domu.shared)


_TREE_MODULE: Final = (
    'module@4e000000 { compatible = "multiboot,device-tree", "multiboot,module"; reg = <0x0 0x4e000000 0x0 0x1000>; };'
)
_PARTIAL: Final = (
    "#address-cells = <2>; #size-cells = <2>; "
    "gic {{ #interrupt-cells = <3>; interrupt-controller; phandle = <{phandle}>; }};"
)


@rule(
    "D17",
    "phandles-of-xen-in-partial-tree",
    Severity.ERROR,
    HOST,
    what="A partial tree has a phandle from 64999 on.",
    why="Xen 4.22 numbers its own nodes above the highest phandle of the partial tree, and keeps 65000 for the guest's "
    'GIC. It stops with "Device tree generation failed (-75)". Older releases take such a tree.',
    advice="Number the phandles of the partial tree from 1 on.",
    sources=(_PFDT,),
    bad=Example(host(chosen=_guest("guest", "4a000000", _TREE_MODULE)), partial=_PARTIAL.format(phandle="65000")),
    good=Example(host(chosen=_guest("guest", "4a000000", _TREE_MODULE)), partial=_PARTIAL.format(phandle="1")),
)
def phandles_of_xen_in_partial_tree(view: HostView) -> Hits:
    if not view.first:
        return
    for domu in view.domus:
        given = next((tree for name, tree in view.options.partial_trees if name in (domu.node.name, domu.node.path)), None)
        most = highest_phandle(given.tree) if given is not None else 0
        if given is not None and most + 1 >= GUEST_PHANDLE_GIC:
            severity = None if view.xen.partial_phandles_bounded else Severity.WARNING
            text = f"{given.name} has phandle {most}, and Xen 4.22 keeps those from {GUEST_PHANDLE_GIC} on for itself"
            yield Hit(f"{domu.node.path}: {text}", domu.node.path, (), domu.node.offset, severity)


@rule(
    "D19",
    "toolstack-guest-cannot-be-created",
    Severity.ERROR,
    HOST,
    what="A guest's xl.cfg gives it an interrupt or a device that dom0 or Xen keeps, or that the host tree does not have.",
    why="xl create fails on the board. One domain gets an interrupt, and Xen assigns a device only if dom0 was told not to "
    "use it.",
    advice="Mark the device's node `xen,passthrough;` in the tree that Xen gets, and name it in dtdev by its path there.",
    sources=(_ROUTE, Source("Xen", "xen/drivers/passthrough/device_tree.c", "iommu_do_dt_domctl", "4.16 to 4.22")),
    bad=Example(host(_DEVICE.format(name="eth", at="a000000", spi=40, more="")), config="memory = 256; irqs = [ 72 ]"),
    good=Example(
        host(_DEVICE.format(name="eth", at="a000000", spi=40, more="xen,passthrough;")),
        config="memory = 256; irqs = [ 72 ]",
    ),
)
def toolstack_guest_cannot_be_created(view: HostView) -> Hits:
    guest = view.prediction.toolstack
    if guest is None:
        return
    irqs = view.prediction.nodes.irqs
    for number in guest.irqs:
        owner = irqs.owner(number)
        if owner is not None:
            who = "dom0" if owner[0] == "d0" else owner[0]
            yield Hit(f"{guest.name} is given interrupt {number}, which {who} has for {owner[1]}", owner[1])
    for path in guest.dtdev:
        node = view.board.tree.find(path) if path.startswith("/") else None
        if node is None:
            yield Hit(f"dtdev of {guest.name} names {path}, which the host tree does not have")
        elif node.prop("xen,passthrough") is None and view.prediction.nodes.is_kept(node):
            yield Hit(f"dtdev of {guest.name} names {path}, which dom0 keeps", node.path, (), node.offset)
    if guest.dtdev and (guest.passthrough is False or not view.prediction.iommu):
        why = "passthrough is disabled" if guest.passthrough is False else "Xen uses no IOMMU"
        yield Hit(f"dtdev of {guest.name} names {len(guest.dtdev)} devices, and {why}")


PASSTHROUGH: Final[tuple[Rule, ...]] = (
    interrupt_given_away_and_kept,
    registers_given_to_two_domains,
    passthrough_over_guest_layout,
    phandles_of_xen_in_partial_tree,
    toolstack_guest_cannot_be_created,
)

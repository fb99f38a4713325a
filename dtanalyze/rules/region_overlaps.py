"""Rules about what the extended regions, ``reg[1..]`` of the hypervisor node, cover."""

from typing import Final, NamedTuple

from dtanalyze.address.lookup import Lookup
from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_range
from dtanalyze.board.model import Window
from dtanalyze.findings import Severity, Source
from dtanalyze.linux.resource import IORESOURCE_END
from dtanalyze.rules.examples import XEN_4_20, guest
from dtanalyze.rules.model import GUEST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.overlap import Side, device_sides
from dtanalyze.rules.view import GuestView, Region, shown

__all__ = ["REGION_OVERLAPS"]

_MOST: Final = 16
"""So many devices under one region are named one by one; the rest are counted."""
_DEFAULT_FRAMES: Final = 64
_PAGE: Final = 4096
_FILL_LIST: Final = Source("Linux", "drivers/xen/unpopulated-alloc.c", "fill_list", "5.17 and newer")
_REQUEST: Final = Source("Linux", "kernel/resource.c", "request_resource", "5.17 and newer")
_CUT: Final = (
    "Cut the region to the whole sections that nothing uses; `dtanalyze fix` writes them. If Xen wrote this tree, check "
    "the tree that Xen booted with: that is the one to correct."
)
_UART: Final = 'serial@90000000 { compatible = "ns16550a"; reg = <0x0 0x90000000 0x0 0x1000>; };'


def _covered(view: GuestView, region: Region, span: AddressRange, sides: Lookup[Side], what: str) -> Hits:
    """Yield a hit for each device under the region; of a device and what lies below it the device only."""
    found: list[tuple[Side, AddressRange]] = []
    covered: set[int] = set()
    for side in sides.touching(span):
        common = span.intersection(side.range)
        if common is not None and id(side.node.parent) not in covered:
            found.append((side, common))
            covered.add(id(side.node))
    for side, common in found[:_MOST]:
        yield Hit(
            f"{region} covers {what} {shown(side.node, side.entry, side.range)}{view.consequence(common)}",
            side.node.path,
            (span, side.range),
            side.entry.offset,
            view.severity(common),
        )
    if len(found) > _MOST:
        rest = [common for _, common in found[_MOST:]]
        worst = max(view.severity(common) for common in rest)
        where = view.path
        yield Hit(f"{region} covers {len(rest)} devices more", where, (span,), region.entry.offset, worst)


def _pci(view: GuestView) -> frozenset[int]:
    return frozenset(id(host.node) for host in view.board.pci_hosts)


@rule(
    "X01",
    "region-over-device",
    Severity.ERROR,
    GUEST,
    what="An extended region covers the registers of an enabled device.",
    why="If Linux places a scratch page there first, the page replaces the device's stage-2 mapping. The registers are "
    "gone and the guest panics at the next access. If the driver is first, every mapping fails with -EBUSY.",
    advice=_CUT,
    sources=(_FILL_LIST, _REQUEST),
    bad=Example(guest(more=_UART)),
    good=Example(guest(more=_UART.replace("90000000", "9000000"))),
)
def region_over_device(view: GuestView) -> Hits:
    hosts = _pci(view)
    sides = Lookup(side for side in view.sides if id(side.node) not in hosts)
    for region, span in view.placed():
        yield from _covered(view, region, span, sides, "the device")


_PCIE: Final = (
    'pcie@{ecam} {{ compatible = "pci-host-ecam-generic"; device_type = "pci"; #address-cells = <3>; #size-cells = <2>; '
    "reg = <0x0 0x{ecam} 0x0 0x1000000>; ranges = <0x2000000 0x0 0x{window} 0x0 0x{window} 0x0 0x8000000>; }};"
)


@rule(
    "X02",
    "region-over-pci-window",
    Severity.ERROR,
    GUEST,
    what="An extended region covers a window or the configuration space of a PCI host bridge.",
    why="The bridge claims its windows when its driver probes. Linux then refuses either the bridge or every mapping. If "
    "the bridge claims nothing, scratch pages hide the devices behind it.",
    advice=_CUT + ' Xen\'s search for holes does not see a bridge without `device_type = "pci";`.',
    sources=(_FILL_LIST, Source("Linux", "drivers/pci/of.c", "devm_of_pci_get_host_bridge_resources", "6.12")),
    bad=Example(guest(more=_PCIE.format(ecam="10000000", window="90000000"))),
    good=Example(guest(more=_PCIE.format(ecam="10000000", window="20000000"))),
)
def region_over_pci_window(view: GuestView) -> Hits:
    idle = {item.source for item in view.answer.iomem.idle}
    for hit in _over_pci_hosts(view):
        if hit.node in idle:
            text = f"{hit.message}; no driver takes that bridge as the tree stands"
            yield hit._replace(message=text, severity=Severity.WARNING)
        else:
            yield hit


def _over_pci_hosts(view: GuestView) -> Hits:
    hosts = _pci(view)
    spaces = Lookup(side for side in view.sides if id(side.node) in hosts)
    windows = Lookup(
        _HostWindow(host.node.path, window, window.range)
        for host in view.board.pci_hosts
        for window in (host.windows if host.enabled else ())
        if window.space and window.range is not None
    )
    for region, span in view.placed():
        yield from _covered(view, region, span, spaces, "the configuration space of")
        for path, window, found in windows.touching(span):
            common = span.intersection(found) or found
            kind = "window" if window.space == "mem" else "I/O window"
            yield Hit(
                f"{region} covers the PCI {kind} of {path} (ranges) "
                f"[{format_range(found.start, found.stop)}]{view.consequence(common)}",
                path,
                (span, found),
                window.offset,
                view.severity(common),
            )


class _HostWindow(NamedTuple):
    path: str
    window: Window
    range: AddressRange


@rule(
    "X03",
    "region-over-ram",
    Severity.ERROR,
    GUEST,
    what="An extended region covers RAM.",
    why="Linux refuses the section because System RAM is there. Every later mapping fails too: Linux finds the same place "
    "again, and tries no other.",
    advice=_CUT,
    sources=(_FILL_LIST, _REQUEST),
    bad=Example(guest("<0x0 0x78000000 0x0 0x20000000>")),
    good=Example(guest("<0x0 0x80000000 0x0 0x20000000>")),
)
def region_over_ram(view: GuestView) -> Hits:
    mapped = view.memory.memory.difference(view.memory.nomap)
    banks = Lookup(view.memory.banks)
    for region, span in view.placed():
        for bank in banks.touching(span):
            for common in mapped.intersection([bank.range]).intersection([span]):
                yield Hit(
                    f"{region} covers RAM of {bank.source} [{format_range(common.start, common.stop)}]"
                    f"{view.consequence(common)}",
                    bank.source,
                    (span, bank.range),
                    bank.offset,
                    view.severity(common),
                )


@rule(
    "X04",
    "region-over-no-map-memory",
    Severity.ERROR,
    GUEST,
    what="An extended region covers memory that is reserved with no-map.",
    why='Linux enters such memory in iomem_resource as "reserved", and refuses every mapping because of it.',
    advice=_CUT,
    sources=(_REQUEST, Source("Linux", "arch/arm64/kernel/setup.c", "request_standard_resources", "6.12")),
    bad=Example(
        guest(
            "<0x0 0x78000000 0x0 0x20000000>",
            "reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; "
            "firmware@78000000 { reg = <0x0 0x78000000 0x0 0x8000000>; no-map; }; };",
        )
    ),
    good=Example(
        guest(
            more="reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; "
            "firmware@78000000 { reg = <0x0 0x78000000 0x0 0x8000000>; no-map; }; };"
        )
    ),
)
def region_over_no_map_memory(view: GuestView) -> Hits:
    claims = Lookup(view.memory.reserved)
    for region, span in view.placed():
        for claim in claims.touching(span):
            for common in view.memory.nomap.intersection([claim.range]).intersection([span]):
                yield Hit(
                    f"{region} covers no-map memory of {claim.source} [{format_range(common.start, common.stop)}]"
                    f"{view.consequence(common)}",
                    claim.source,
                    (span, claim.range),
                    claim.offset,
                    view.severity(common),
                )


_STRAY: Final = (
    "reserved-memory {{ #address-cells = <2>; #size-cells = <2>; ranges; "
    "firmware@{at} {{ reg = <0x0 0x{at} 0x0 0x100000>; no-map; }}; }};"
)


@rule(
    "X05",
    "region-over-reserved-memory",
    Severity.ERROR,
    GUEST,
    what="An extended region covers a reservation that lies outside every memory node.",
    why="Linux keeps no record of such a reservation. Scratch pages land on it, and overwrite what firmware keeps there.",
    advice=_CUT,
    sources=(_FILL_LIST, Source("Linux", "drivers/of/of_reserved_mem.c", "fdt_scan_reserved_mem", "6.12")),
    bad=Example(guest(more=_STRAY.format(at="90000000"))),
    good=Example(guest(more=_STRAY.format(at="50000000"))),
)
def region_over_reserved_memory(view: GuestView) -> Hits:
    claims = Lookup(view.memory.stray)
    for region, span in view.placed():
        for claim in claims.touching(span):
            common = span.intersection(claim.range)
            if common is not None:
                yield Hit(
                    f"{region} covers the reservation {claim.source} [{format_range(claim.range.start, claim.range.stop)}], "
                    f"which lies outside every memory node{view.consequence(common)}",
                    claim.source,
                    (span, claim.range),
                    claim.offset,
                    view.severity(common),
                )


@rule(
    "X06",
    "region-over-grant-table",
    Severity.ERROR,
    GUEST,
    what="An extended region covers the grant table, reg[0] of the hypervisor node.",
    why="Linux maps the grant table there and enters it in no resource tree, so that nothing keeps scratch pages away. The "
    "first scratch page in that range cuts every grant.",
    advice="Start the region behind the grant table. The table takes 4 KiB for each of Xen's gnttab_max_frames, 64 by "
    "default, whatever size reg[0] states.",
    sources=(
        Source("Linux", "arch/arm/xen/enlighten.c", "xen_guest_init", "5.17 and newer"),
        Source("Linux", "drivers/xen/grant-table.c", "gnttab_setup_auto_xlat_frames", "5.17 and newer"),
    ),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>", grant="<0x0 0x80000000 0x0 0x40000>")),
    good=Example(guest()),
)
def region_over_grant_table(view: GuestView) -> Hits:
    table = _grant_span(view)
    if table is None or view.node is None or view.grant is None:
        return
    for region, span in view.placed():
        common = span.intersection(table)
        if common is not None:
            yield Hit(
                f"{region} covers the grant table {shown(view.node, view.grant, table)}{view.consequence(common)}",
                view.node.path,
                (span, table),
                view.grant.offset,
                view.severity(common),
            )


def _grant_span(view: GuestView) -> AddressRange | None:
    entry = view.grant
    if entry is None or not entry.address:
        return None
    size = max(entry.size, _DEFAULT_FRAMES * _PAGE)
    return AddressRange(entry.address, min(size, IORESOURCE_END + 1 - entry.address))


@rule(
    "X07",
    "region-over-disabled-device",
    Severity.WARNING,
    GUEST,
    what="An extended region covers the registers of a device that is disabled in this tree.",
    why="The fault begins when an overlay or a boot loader enables the device. Xen's search for holes leaves disabled "
    "devices out too, so somebody wrote this region by hand.",
    advice=_CUT,
    sources=(Source("Xen", "xen/arch/arm/domain_build.c", "find_memory_holes", "4.16 and newer"),),
    bad=Example(guest(more=_UART.replace("reg", 'status = "disabled"; reg'))),
    good=Example(guest(more=_UART.replace("90000000", "9000000").replace("reg", 'status = "disabled"; reg'))),
)
def region_over_disabled_device(view: GuestView) -> Hits:
    disabled = Lookup(device_sides(view.board, enabled=False) if view.regions else ())
    for region, span in view.placed():
        for hit in _covered(view, region, span, disabled, "the disabled device"):
            yield hit._replace(severity=None)


_PASSED: Final = (
    'passthrough { compatible = "simple-bus"; #address-cells = <2>; #size-cells = <2>; ranges; '
    'serial@90000000 { compatible = "ns16550a"; reg = <0x0 0x90000000 0x0 0x1000>; }; };'
)


@rule(
    "D10",
    "passthrough-mmio-in-extended-region",
    Severity.ERROR,
    GUEST,
    what="A guest's extended region covers a device that was passed through to it.",
    why="Scratch pages replace the device's mapping, and the guest panics. Xen up to 4.20 makes a guest's regions without "
    "a look at devices that are passed through.",
    advice="Use Xen 4.21 or newer (fba1b0974d and 3af8a6ed8e for dom0less, 108308feef for libxl). Or place the device "
    "below 0x40000000 in the guest.",
    sources=(
        Source("Xen", "xen/arch/arm/domain_build.c", "find_domU_holes", "before 4.21 (fba1b0974d, 3af8a6ed8e)"),
        Source("Xen", "tools/libs/light/libxl_arm.c", "finalize_hypervisor_node", "before 4.21 (108308feef)"),
    ),
    bad=Example(guest(more=_PASSED, compatible=XEN_4_20)),
    good=Example(guest(more=_PASSED.replace("90000000", "9000000"), compatible=XEN_4_20)),
)
def passthrough_mmio_in_extended_region(view: GuestView) -> Hits:
    if not _before_4_21(view.xen):
        return
    passed = (item for item in view.answer.unseen if item.kind == "device" and item.source.startswith("/passthrough/"))
    users = Lookup(passed)
    for region, span in view.placed():
        for user in users.touching(span):
            yield Hit(
                f"{region} covers the passed-through MMIO of {user.source} "
                f"[{format_range(user.range.start, user.range.stop)}]: Xen {view.xen} does not keep such ranges out",
                user.source,
                (span, user.range),
                user.offset,
            )


def _before_4_21(xen: str | None) -> bool:
    parts = (xen or "").split(".")
    return len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit() and (int(parts[0]), int(parts[1])) < (4, 21)


REGION_OVERLAPS: Final[tuple[Rule, ...]] = (
    region_over_device,
    region_over_pci_window,
    region_over_ram,
    region_over_no_map_memory,
    region_over_reserved_memory,
    region_over_grant_table,
    region_over_disabled_device,
    passthrough_mmio_in_extended_region,
)

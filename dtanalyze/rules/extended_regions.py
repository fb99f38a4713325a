"""Rules about ``reg[1..]`` of the hypervisor node: what the regions cover, how they stand, what can be made of them."""

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, format_range, format_size
from dtanalyze.findings import Severity, Source
from dtanalyze.linux.memory_hotplug import memstart_addr
from dtanalyze.linux.profile import Arch
from dtanalyze.linux.resource import IORESOURCE_END
from dtanalyze.rules.examples import guest
from dtanalyze.rules.model import GUEST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.overlap import Side, device_sides
from dtanalyze.rules.view import GuestView, Region, shown

__all__ = ["EXTENDED_REGIONS"]

_MOST: Final = 16
"""So many devices under one region are named one by one; the rest are counted."""
_DEFAULT_FRAMES: Final = 64
_PAGE: Final = 4096
_XEN_ALIGN: Final = 2 * MIB

_FILL_LIST: Final = Source("Linux", "drivers/xen/unpopulated-alloc.c", "fill_list", "5.17 and newer")
_ARCH_INIT: Final = Source("Linux", "arch/arm/xen/enlighten.c", "arch_xen_unpopulated_init", "5.17 and newer")
_REQUEST: Final = Source("Linux", "kernel/resource.c", "request_resource", "5.17 and newer")
_ADD_EXT: Final = Source("Xen", "xen/arch/arm/domain_build.c", "add_ext_regions", "4.18 to 4.20, fixed by 9b21841fd1")
_PLUGGABLE: Final = Source("Linux", "mm/memory_hotplug.c", "mhp_get_pluggable_range", "5.12 and newer")

_XEN_4_20: Final = 'compatible = "xen,xen-4.20", "xen,xen"; interrupts = <1 15 8>; interrupt-parent = <1>;'
_CUT: Final = "Cut the region so that it leaves that range out; when Xen wrote the tree, the cause is in the host's."
_UART: Final = 'serial@90000000 { compatible = "ns16550a"; reg = <0x0 0x90000000 0x0 0x1000>; };'


def _regions(view: GuestView) -> Iterator[tuple[Region, AddressRange]]:
    for region in view.regions if view.on_xen else ():
        if region.range is not None:
            yield region, region.range


def _covered(view: GuestView, region: Region, span: AddressRange, sides: Iterable[Side], what: str) -> Hits:
    """Yield a hit for each device under the region; of a device and what lies below it the device only."""
    found: list[tuple[Side, AddressRange]] = []
    for side in sides:
        common = span.intersection(side.range)
        if common is not None and not any(before.node is side.node.parent for before, _ in found):
            found.append((side, common))
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
        where = view.node.path if view.node is not None else None
        yield Hit(f"{region} covers {len(rest)} more", where, (span,), region.entry.offset, worst)


def _pci(view: GuestView) -> frozenset[int]:
    return frozenset(id(host.node) for host in view.board.pci_hosts)


@rule(
    "X01",
    "region-over-device",
    Severity.ERROR,
    GUEST,
    what="An extended region covers the registers of an enabled device.",
    why="A scratch page replaces the stage-2 mapping of the device: its registers are gone, the guest panics at the next "
    "access; or the driver was there first, and then every mapping fails with -EBUSY.",
    advice=_CUT,
    sources=(_FILL_LIST, _REQUEST),
    bad=Example(guest(more=_UART)),
    good=Example(guest(more=_UART.replace("90000000", "9000000"))),
)
def region_over_device(view: GuestView) -> Hits:
    hosts = _pci(view)
    sides = [side for side in view.sides if id(side.node) not in hosts]
    for region, span in _regions(view):
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
    why="The bridge claims its windows when it is probed: either that or every mapping is refused, or scratch pages hide "
    "the devices behind it.",
    advice=_CUT + ' A bridge without device_type = "pci" is not seen by Xen\'s search for holes.',
    sources=(_FILL_LIST, Source("Linux", "drivers/pci/of.c", "devm_of_pci_get_host_bridge_resources", "6.12")),
    bad=Example(guest(more=_PCIE.format(ecam="10000000", window="90000000"))),
    good=Example(guest(more=_PCIE.format(ecam="10000000", window="20000000"))),
)
def region_over_pci_window(view: GuestView) -> Hits:
    hosts = _pci(view)
    spaces = [side for side in view.sides if id(side.node) in hosts]
    for region, span in _regions(view):
        yield from _covered(view, region, span, spaces, "the configuration space of")
        for host in view.board.pci_hosts if view.board.pci_hosts else ():
            for window in host.windows if host.enabled else ():
                common = span.intersection(window.range) if window.range is not None and window.space else None
                if common is not None and window.range is not None:
                    kind = "window" if window.space == "mem" else "I/O window"
                    yield Hit(
                        f"{region} covers the PCI {kind} of {host.node.path} (ranges) "
                        f"[{format_range(window.range.start, window.range.stop)}]{view.consequence(common)}",
                        host.node.path,
                        (span, window.range),
                        window.offset,
                        view.severity(common),
                    )


@rule(
    "X03",
    "region-over-ram",
    Severity.ERROR,
    GUEST,
    what="An extended region covers RAM.",
    why="The section is refused because of System RAM, and so is every later one: first fit finds the same place again and "
    "nothing falls back.",
    advice=_CUT,
    sources=(_FILL_LIST, _REQUEST),
    bad=Example(guest("<0x0 0x78000000 0x0 0x20000000>")),
    good=Example(guest("<0x0 0x80000000 0x0 0x20000000>")),
)
def region_over_ram(view: GuestView) -> Hits:
    mapped = view.memory.memory.difference(view.memory.nomap)
    for region, span in _regions(view):
        for bank in view.memory.banks:
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
    why='Such memory stands in iomem_resource as "reserved": every mapping is refused because of it.',
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
    for region, span in _regions(view):
        for claim in view.memory.reserved:
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
    why="Linux forgets such a reservation: nothing keeps scratch pages off it, and firmware's memory is overwritten.",
    advice=_CUT,
    sources=(_FILL_LIST, Source("Linux", "drivers/of/of_reserved_mem.c", "fdt_scan_reserved_mem", "6.12")),
    bad=Example(guest(more=_STRAY.format(at="90000000"))),
    good=Example(guest(more=_STRAY.format(at="50000000"))),
)
def region_over_reserved_memory(view: GuestView) -> Hits:
    for region, span in _regions(view):
        for claim in view.memory.stray:
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
    why="Linux maps the grant table there without entering it anywhere, so that nothing keeps scratch pages off it; the "
    "first that lands there cuts every grant.",
    advice="Cut the region behind the grant table; it takes 4 KiB for each of gnttab_max_frames (64 by default), whatever "
    "its size says.",
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
    for region, span in _regions(view):
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
    why="Nothing happens until an overlay or a boot loader enables it; then it is lost. Xen's search for holes leaves out "
    "disabled devices too, so the region was made by hand.",
    advice=_CUT,
    sources=(Source("Xen", "xen/arch/arm/domain_build.c", "find_memory_holes", "4.16 and newer"),),
    bad=Example(guest(more=_UART.replace("reg", 'status = "disabled"; reg'))),
    good=Example(guest(more=_UART.replace("90000000", "9000000").replace("reg", 'status = "disabled"; reg'))),
)
def region_over_disabled_device(view: GuestView) -> Hits:
    disabled = device_sides(view.board.devices, enabled=False) if view.regions else ()
    for region, span in _regions(view):
        for hit in _covered(view, region, span, disabled, "the disabled device"):
            yield hit._replace(severity=None)


@rule(
    "X08",
    "regions-not-ascending",
    Severity.ERROR,
    GUEST,
    what="The extended regions do not ascend, or two of them overlap.",
    why="Linux links them in the order in which they stand and refuses the whole set with -EINVAL at the first that begins "
    "before the one before it ends; its log does not say why. All grants then cost RAM.",
    advice="Sort the entries by address, and merge or cut those that overlap.",
    sources=(_ARCH_INIT,),
    bad=Example(guest("<0x0 0x90000000 0x0 0x20000000>, <0x0 0x80000000 0x0 0x10000000>")),
    good=Example(guest("<0x0 0x80000000 0x0 0x10000000>, <0x0 0x90000000 0x0 0x20000000>")),
)
def regions_not_ascending(view: GuestView) -> Hits:
    ranges = list(_regions(view))
    for (before, one), (after, other) in zip(ranges, ranges[1:], strict=False):
        if other.start >= one.stop:
            continue
        how = "overlaps" if one.overlaps(other) else "lies below"
        yield Hit(
            f"{after} {how} {before}, which stands before it",
            view.node.path if view.node is not None else None,
            (one, other),
            after.entry.offset,
            None if view.uses_regions else Severity.WARNING,
        )


@rule(
    "X09",
    "region-of-size-zero",
    Severity.ERROR,
    GUEST,
    what="An extended region has no size.",
    why="Its end is computed as start - 1. Between other regions the hole beside it does not fit (-EBUSY or -EINVAL); at "
    "address 0 the end wraps and all of the address space, devices and RAM included, is offered.",
    advice="Remove the entry.",
    sources=(_ARCH_INIT, Source("Linux", "drivers/of/address.c", "__of_address_to_resource", "5.17 and newer")),
    bad=Example(guest("<0x0 0x0 0x0 0x0>, <0x0 0x80000000 0x0 0x20000000>")),
    good=Example(guest()),
)
def region_of_size_zero(view: GuestView) -> Hits:
    for region in view.regions if view.on_xen else ():
        if region.raw.size == 0:
            yield Hit(
                f"{region} has no size",
                view.node.path if view.node is not None else None,
                (region.raw,),
                region.entry.offset,
                None if _spoils(view, region) else Severity.WARNING,
            )


def _spoils(view: GuestView, region: Region) -> bool:
    """Tell whether an empty region costs something here: the kernel took the set all the same when it stands well."""
    accepted = view.answer.init is not None and view.answer.init.resource is not None
    return view.uses_regions and (not accepted or region.raw.start == 0)


@rule(
    "X10",
    "region-beyond-address-space",
    Severity.ERROR,
    GUEST,
    what="Start and size of an extended region add up to more than 2^64.",
    why="Linux up to 6.11 wraps the end around, later ones refuse it with -EOVERFLOW and with it the whole set.",
    advice="Correct the size.",
    sources=(Source("Linux", "drivers/of/address.c", "__of_address_to_resource", "6.12 (000f6d588a8f)"),),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>, <0xffffffff 0x0 0x2 0x0>")),
    good=Example(guest()),
)
def region_beyond_address_space(view: GuestView) -> Hits:
    for region in view.regions if view.on_xen else ():
        if region.raw.stop > IORESOURCE_END + 1:
            yield Hit(
                f"extended region {region.number} starts at {region.raw.start:#x} with size {region.raw.size:#x} and ends "
                "beyond 2^64",
                view.node.path if view.node is not None else None,
                (region.raw,),
                region.entry.offset,
                None if view.uses_regions else Severity.WARNING,
            )


@rule(
    "X11",
    "no-usable-section",
    Severity.ERROR,
    GUEST,
    what="There are extended regions, but none holds a whole aligned section within the kernel's bounds.",
    why="That is worse than none: with none the kernel gives RAM back instead, with useless ones every mapping fails.",
    advice="Give a region that holds an aligned section (128 MiB, 512 MiB with 64K pages) above the start of RAM, or none.",
    sources=(_FILL_LIST, _PLUGGABLE),
    bad=Example(guest("<0x0 0x80200000 0x0 0xde00000>")),
    good=Example(guest("<0x0 0x80200000 0x0 0x17e00000>")),
)
def no_usable_section(view: GuestView) -> Hits:
    room = view.answer.capacity
    if room is None or room.gaps or view.answer.target_name != "xen_resource":
        return
    spans = tuple(span for _, span in _regions(view))
    size = format_size(view.linux.section_size)
    yield Hit(
        f"none of the {len(view.regions)} extended regions holds an aligned section of {size} that this kernel can use",
        view.node.path if view.node is not None else None,
        spans,
        view.regions[0].entry.offset if view.regions else None,
    )


@rule(
    "X12",
    "region-without-whole-section",
    Severity.WARNING,
    GUEST,
    what="An extended region is smaller than a section, or so misaligned that whole sections of it are lost.",
    why="Scratch space comes in whole aligned sections; what lies before the first boundary and behind the last is lost.",
    advice="Grow or move the region to multiples of the section size.",
    sources=(_FILL_LIST,),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>, <0x0 0xb0000000 0x0 0x4000000>")),
    good=Example(guest()),
)
def region_without_whole_section(view: GuestView) -> Hits:
    limits, size = view.answer.limits, view.linux.section_size
    if limits is None or view.answer.target_name != "xen_resource":
        return
    for region, span in _regions(view):
        if span.last < limits.low or span.start > limits.high:
            continue  # another rule's
        got = sum(item.size for item in view.reach.intersection([span])) // size
        could = span.size // size
        if got and got >= could:
            continue
        lost = span.size - got * size
        text = f"{region} gives {got} of {could} sections" if could else f"{region} is smaller than a section"
        yield Hit(
            f"{text} of {format_size(size)}, {format_size(lost)} are lost",
            view.node.path if view.node is not None else None,
            (span,),
            region.entry.offset,
            Severity.INFO if got else None,
        )


@rule(
    "X13",
    "region-below-linear-map",
    Severity.WARNING,
    GUEST,
    what="An extended region lies, in whole or in part, below the start of the kernel's linear map.",
    why="The linear map begins at RAM rounded down to 1 GiB; below it nothing can be hot-plugged, unless KASLR moves it "
    "(before 6.16), and then the answer depends on the seed.",
    advice="Give space above the start of RAM.",
    sources=(_PLUGGABLE, Source("Linux", "arch/arm64/mm/init.c", "arm64_memblock_init", "5.17 to 7.3")),
    bad=Example(guest("<0x0 0x10000000 0x0 0x20000000>, <0x0 0x80000000 0x0 0x20000000>")),
    good=Example(guest()),
)
def region_below_linear_map(view: GuestView) -> Hits:
    limits = view.answer.limits
    if limits is None or limits.randomized or view.answer.target_name != "xen_resource":
        return
    for region, span in _regions(view):
        below = min(span.stop, limits.low) - span.start
        if below > 0:
            yield Hit(
                f"{region} lies with {format_size(below)} below {limits.low:#x}, where the linear map starts",
                view.node.path if view.node is not None else None,
                (span,),
                region.entry.offset,
            )


@rule(
    "X14",
    "region-above-linear-map",
    Severity.WARNING,
    GUEST,
    what="An extended region lies, in whole or in part, above the end of the kernel's linear map.",
    why="What the linear map cannot hold cannot be hot-plugged: with 39-bit addresses that begins 256 GiB above RAM.",
    advice="Give space nearer to RAM, or build the kernel with more virtual address bits.",
    sources=(_PLUGGABLE,),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>, <0x800000 0x0 0x0 0x20000000>")),
    good=Example(guest()),
)
def region_above_linear_map(view: GuestView) -> Hits:
    limits = view.answer.limits
    if limits is None or view.linux.arch is not Arch.ARM64 or view.answer.target_name != "xen_resource":
        return
    for region, span in _regions(view):
        above = span.stop - max(span.start, limits.high + 1)
        if above > 0:
            yield Hit(
                f"{region} lies with {format_size(above)} above {limits.high:#x}, where the linear map ends",
                view.node.path if view.node is not None else None,
                (span,),
                region.entry.offset,
            )


_A53: Final = (
    "cpus { #address-cells = <1>; #size-cells = <0>; "
    'cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0x0>; }; };'
)


@rule(
    "X15",
    "region-beyond-physical-space",
    Severity.ERROR,
    GUEST,
    what="An extended region lies beyond what the CPUs can address.",
    why="A guest's physical space is no wider than the CPUs' (40 bits on a Cortex-A53): Xen refuses to map anything there, "
    "after Linux has chosen it.",
    advice="Cut the region at the CPUs' width.",
    sources=(Source("Xen", "xen/arch/arm/p2m.c", "setup_virt_paging", "4.16 and newer"),),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>, <0x100 0x0 0x0 0x20000000>", _A53)),
    good=Example(guest(more=_A53)),
)
def region_beyond_physical_space(view: GuestView) -> Hits:
    if view.pa_bits is None:
        return
    limit = 1 << view.pa_bits
    for region, span in _regions(view):
        if span.stop > limit:
            beyond = AddressRange.spanning(max(span.start, limit), span.stop)
            yield Hit(
                f"{region} lies beyond 2^{view.pa_bits}, all that the CPUs of this tree can address"
                f"{view.consequence(beyond)}",
                view.node.path if view.node is not None else None,
                (span,),
                region.entry.offset,
                view.severity(beyond),
            )


@rule(
    "X16",
    "capacity-in-pieces",
    Severity.WARNING,
    GUEST,
    what="The space that the product needs is there, but not in one piece.",
    why="One mapping takes consecutive sections of one region: a larger one fails although enough is free in all.",
    advice="Join regions or give a larger one, when a single mapping is as large as what --need says.",
    sources=(_FILL_LIST,),
    bad=Example(guest("<0x0 0x80000000 0x0 0x8000000>, <0x0 0x90000000 0x0 0x8000000>"), asks=("--need", "256M")),
    good=Example(guest(), asks=("--need", "256M")),
)
def capacity_in_pieces(view: GuestView) -> Hits:
    room, need = view.answer.capacity, view.need
    if room is None or need is None or view.answer.target_name != "xen_resource":
        return
    page = view.linux.page_size
    if room.largest_request < need <= room.sections * view.linux.pages_per_section:
        yield Hit(
            f"{format_size(need * page)} are there in all, but one mapping can take at most "
            f"{format_size(room.largest_request * page)}",
            view.node.path if view.node is not None else None,
            tuple(span for _, span in _regions(view)),
        )


@rule(
    "X17",
    "region-cut-by-xen",
    Severity.WARNING,
    GUEST,
    what="An extended region ends 2 MiB short of a section, as Xen 4.18 to 4.20 cut every one.",
    why="These releases take the start of the last page for the end, so that a region that ends on 2 MiB loses its last "
    "2 MiB; where a section ends there, Linux loses the whole section.",
    advice="Use Xen 4.21 or newer (9b21841fd1).",
    sources=(_ADD_EXT,),
    bad=Example(guest("<0x0 0x80000000 0x0 0x1fe00000>", compatible=_XEN_4_20)),
    good=Example(guest("<0x0 0x80000000 0x0 0x1fe00000>")),
)
def region_cut_by_xen(view: GuestView) -> Hits:
    if not view.xen or not view.xen.startswith(("4.18", "4.19", "4.20")):
        return
    size = view.linux.section_size
    for region, span in _regions(view):
        if (span.stop + _XEN_ALIGN) % size == 0 and span.stop % size:
            yield Hit(
                f"{region} ends 2 MiB before a section does: Xen {view.xen} has cut it, and {format_size(size)} are lost",
                view.node.path if view.node is not None else None,
                (span,),
                region.entry.offset,
            )


_BELOW: Final = "<0x0 0x10000000 0x0 0x20000000>, <0x0 0x80000000 0x0 0x20000000>"


@rule(
    "X44",
    "placement-depends-on-seed",
    Severity.INFO,
    GUEST,
    what="KASLR moves the linear map, and what the kernel can use of the extended regions depends on the seed.",
    why="Before 6.16 a kaslr-seed in /chosen moves memstart below RAM: regions there become usable, at one boot so and at "
    "the next otherwise.",
    advice="Put the regions above the start of RAM, so that the seed makes no difference.",
    sources=(Source("Linux", "arch/arm64/mm/init.c", "arm64_memblock_init", "before 6.16 (1db780bafa4c)"),),
    bad=Example(guest(_BELOW, "chosen { kaslr-seed = <0x1 0x2>; };"), linux="6.12"),
    good=Example(guest(more="chosen { kaslr-seed = <0x1 0x2>; };"), linux="6.12"),
)
def placement_depends_on_seed(view: GuestView) -> Hits:
    limits, first = view.answer.limits, next(iter(view.memory.memory), None)
    if limits is None or not limits.randomized or first is None:
        return
    start = memstart_addr(first.start, view.linux)
    below = [(region, span) for region, span in _regions(view) if span.start < start]
    if below:
        region, span = below[0]
        yield Hit(
            f"{region} lies below {start:#x}, where the linear map starts without KASLR: whether it is used depends on the "
            "seed",
            view.node.path if view.node is not None else None,
            (span,),
            region.entry.offset,
        )


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
    why="Scratch pages replace the device's mapping and the guest panics. Xen up to 4.20 makes a guest's regions without "
    "a look at what is passed through.",
    advice="Use Xen 4.21 or newer (fba1b0974d and 3af8a6ed8e for dom0less, 108308feef for libxl), or pass the device "
    "through below 0x40000000.",
    sources=(
        Source("Xen", "xen/arch/arm/domain_build.c", "find_domU_holes", "before 4.21 (fba1b0974d, 3af8a6ed8e)"),
        Source("Xen", "tools/libs/light/libxl_arm.c", "finalize_hypervisor_node", "before 4.21 (108308feef)"),
    ),
    bad=Example(guest(more=_PASSED, compatible=_XEN_4_20)),
    good=Example(guest(more=_PASSED.replace("90000000", "9000000"), compatible=_XEN_4_20)),
)
def passthrough_mmio_in_extended_region(view: GuestView) -> Hits:
    if not _before_4_21(view.xen):
        return
    for user in view.answer.unseen:
        if user.kind != "device" or not user.source.startswith("/passthrough/"):
            continue
        for region, span in _regions(view):
            if span.overlaps(user.range):
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


@rule(
    "K01",
    "kzalloc-result-untested",
    Severity.INFO,
    GUEST,
    what="The kernel tests the wrong pointer after it allocates the copy for iomem_resource (the patches V2 and V3).",
    why="When that allocation fails it writes through NULL instead of returning -ENOMEM.",
    advice="Use the code as merged in 5.17.",
    sources=(Source("Linux", "drivers/xen/unpopulated-alloc.c", "fill_list", "V2 and V3 of the patch, d1a928eac729"),),
    bad=Example(guest(), linux="v3"),
    good=Example(guest(), linux="5.17"),
)
def kzalloc_result_untested(view: GuestView) -> Hits:
    if view.linux.wrong_kzalloc_test and view.answer.target_name == "xen_resource":
        yield Hit(f"this kernel ({view.linux.name}) does not see when the copy for iomem_resource cannot be allocated")


EXTENDED_REGIONS: Final[tuple[Rule, ...]] = (
    region_over_device,
    region_over_pci_window,
    region_over_ram,
    region_over_no_map_memory,
    region_over_reserved_memory,
    region_over_grant_table,
    region_over_disabled_device,
    regions_not_ascending,
    region_of_size_zero,
    region_beyond_address_space,
    no_usable_section,
    region_without_whole_section,
    region_below_linear_map,
    region_above_linear_map,
    region_beyond_physical_space,
    capacity_in_pieces,
    region_cut_by_xen,
    placement_depends_on_seed,
    passthrough_mmio_in_extended_region,
    kzalloc_result_untested,
)

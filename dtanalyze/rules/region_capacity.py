"""Rules about how the extended regions stand, and what a kernel can make of them."""

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, format_size
from dtanalyze.findings import Severity, Source
from dtanalyze.linux.memory_hotplug import memstart_addr
from dtanalyze.linux.profile import Arch
from dtanalyze.linux.resource import IORESOURCE_END
from dtanalyze.rules.examples import XEN_4_20, guest
from dtanalyze.rules.model import GUEST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import GuestView, Region

__all__ = ["REGION_CAPACITY"]

_XEN_ALIGN: Final = 2 * MIB
_TOP: Final = IORESOURCE_END - _XEN_ALIGN
_FILL_LIST: Final = Source("Linux", "drivers/xen/unpopulated-alloc.c", "fill_list", "5.17 and newer")
_ARCH_INIT: Final = Source("Linux", "arch/arm/xen/enlighten.c", "arch_xen_unpopulated_init", "5.17 and newer")
_ADD_EXT: Final = Source("Xen", "xen/arch/arm/domain_build.c", "add_ext_regions", "4.18 to 4.20, fixed by 9b21841fd1")
_PLUGGABLE: Final = Source("Linux", "mm/memory_hotplug.c", "mhp_get_pluggable_range", "5.12 and newer")


@rule(
    "X08",
    "regions-not-ascending",
    Severity.ERROR,
    GUEST,
    what="The extended regions do not ascend, or two of them overlap.",
    why="Linux reserves them in the order of the entries. It refuses the whole set with -EINVAL at the first region that "
    "begins before the previous one ends, and its log does not say why. Every mapping then costs RAM.",
    advice="Sort the entries of reg by address, from the second on, and merge or cut those that overlap.",
    sources=(_ARCH_INIT,),
    bad=Example(guest("<0x0 0x90000000 0x0 0x20000000>, <0x0 0x80000000 0x0 0x10000000>")),
    good=Example(guest("<0x0 0x80000000 0x0 0x10000000>, <0x0 0x90000000 0x0 0x20000000>")),
)
def regions_not_ascending(view: GuestView) -> Hits:
    ranges = list(view.placed())
    for (before, one), (after, other) in zip(ranges, ranges[1:], strict=False):
        if other.start >= one.stop:
            continue
        how = "overlaps" if one.overlaps(other) else "lies below"
        yield Hit(
            f"{after} {how} {before}, which is the entry before it",
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
    why="Linux computes its end as start - 1. Between other regions the gap beside it does not fit, and Linux refuses the "
    "whole set (-EBUSY or -EINVAL). At address 0 the end wraps: Linux takes all addresses for free, devices and RAM "
    "included.",
    advice="Remove the entry of size zero from reg.",
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
    why="Linux up to 6.11 wraps the end around. Later releases refuse the region with -EOVERFLOW, and the whole set with "
    "it.",
    advice="Make start + size of the entry at most 2^64.",
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
    what="No extended region holds a whole aligned section within the kernel's bounds.",
    why="Without any region Linux would balloon: each mapping would cost a page of RAM. With regions that hold no section, "
    "every mapping fails.",
    advice="Add a region that holds one aligned section (128 MiB, or 512 MiB with 64K pages) above the start of RAM. Or "
    "remove all regions, and Linux balloons.",
    sources=(_FILL_LIST, _PLUGGABLE),
    bad=Example(guest("<0x0 0x80200000 0x0 0xde00000>")),
    good=Example(guest("<0x0 0x80200000 0x0 0x17e00000>")),
)
def no_usable_section(view: GuestView) -> Hits:
    room = view.answer.capacity
    if room is None or room.gaps or view.answer.target_name != "xen_resource":
        return
    spans = tuple(span for _, span in view.placed())
    size = format_size(view.linux.section_size)
    several = len(view.regions) > 1
    holds = f"none of the {len(view.regions)} extended regions holds an" if several else "the one extended region holds no"
    yield Hit(
        f"{holds} aligned section of {size} that this kernel can use",
        view.node.path if view.node is not None else None,
        spans,
        view.regions[0].entry.offset if view.regions else None,
    )


@rule(
    "X12",
    "region-without-whole-section",
    Severity.WARNING,
    GUEST,
    what="An extended region is smaller than a section, or loses whole sections because it is not aligned.",
    why="Linux takes scratch space in whole aligned sections. It cannot use what lies before the first section boundary or "
    "behind the last.",
    advice="Start and end the region at multiples of the section size.",
    sources=(_FILL_LIST,),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>, <0x0 0xb0000000 0x0 0x4000000>")),
    good=Example(guest()),
)
def region_without_whole_section(view: GuestView) -> Hits:
    limits, size = view.answer.limits, view.linux.section_size
    if limits is None or view.answer.target_name != "xen_resource":
        return
    for region, span in view.placed():
        inside = span.intersection(AddressRange.spanning(limits.low, limits.high + 1))
        if inside is None:
            continue  # X13's or X14's, as is what of the region lies outside
        got = sum(item.size for item in view.reach.intersection([span])) // size
        could = inside.size // size
        if got and got >= could:
            continue
        lost = inside.size - got * size
        where = "" if inside == span else ", as far as the linear map holds it"
        text = f"{region} gives {got} of {could} sections" if got else f"{region} holds no aligned section"
        yield Hit(
            f"{text} of {format_size(size)}{where}: {format_size(lost)} are lost to alignment",
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
    why="The linear map begins at the start of RAM, rounded down to 1 GiB, and Linux cannot hot-plug anything below it. "
    "Before 6.16 KASLR moves that start, and the answer depends on the seed.",
    advice="Move the region above the start of RAM.",
    sources=(_PLUGGABLE, Source("Linux", "arch/arm64/mm/init.c", "arm64_memblock_init", "5.17 to 7.3")),
    bad=Example(guest("<0x0 0x10000000 0x0 0x20000000>, <0x0 0x80000000 0x0 0x20000000>")),
    good=Example(guest()),
)
def region_below_linear_map(view: GuestView) -> Hits:
    limits = view.answer.limits
    if limits is None or limits.randomized or view.answer.target_name != "xen_resource":
        return
    for region, span in view.placed():
        below = min(span.stop, limits.low) - span.start
        if below > 0:
            yield Hit(
                f"{format_size(below)} of {region} lies below {limits.low:#x}, where the linear map starts",
                view.node.path if view.node is not None else None,
                (span,),
                region.entry.offset,
                None if _sections(span.start, min(span.stop, limits.low), view.linux.section_size) else Severity.INFO,
            )


def _sections(start: int, stop: int, size: int) -> int:
    """Return how many whole aligned sections lie between two addresses: without one, nothing is lost there."""
    return max(stop // size - -(-start // size), 0)


@rule(
    "X14",
    "region-above-linear-map",
    Severity.WARNING,
    GUEST,
    what="An extended region lies, in whole or in part, above the end of the kernel's linear map.",
    why="Linux cannot hot-plug what its linear map cannot hold. With 39-bit addresses the map ends 256 GiB above the start "
    "of RAM.",
    advice="Move the region nearer to RAM, or build the kernel with CONFIG_ARM64_VA_BITS_48=y.",
    sources=(_PLUGGABLE,),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>, <0x800000 0x0 0x0 0x20000000>")),
    good=Example(guest()),
)
def region_above_linear_map(view: GuestView) -> Hits:
    limits = view.answer.limits
    if limits is None or view.linux.arch is not Arch.ARM64 or view.answer.target_name != "xen_resource":
        return
    for region, span in view.placed():
        above = span.stop - max(span.start, limits.high + 1)
        if above > 0:
            yield Hit(
                f"{format_size(above)} of {region} lies above {limits.high:#x}, where the linear map ends",
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
    why="A guest has no more address bits than the CPUs (40 on a Cortex-A53). Linux chooses the range, and then Xen "
    "refuses to map anything there.",
    advice="End the region below the CPUs' limit.",
    sources=(Source("Xen", "xen/arch/arm/p2m.c", "setup_virt_paging", "4.16 and newer"),),
    bad=Example(guest("<0x0 0x80000000 0x0 0x20000000>, <0x100 0x0 0x0 0x20000000>", _A53)),
    good=Example(guest(more=_A53)),
)
def region_beyond_physical_space(view: GuestView) -> Hits:
    if view.pa_bits is None:
        return
    limit = 1 << view.pa_bits
    for region, span in view.placed():
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
    why="One mapping takes consecutive sections of one region. A larger mapping fails, although enough sections are free "
    "in all.",
    advice="Join regions, or add a larger one, if a single mapping is as large as --need says.",
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
            tuple(span for _, span in view.placed()),
        )


@rule(
    "X17",
    "region-cut-by-xen",
    Severity.WARNING,
    GUEST,
    what="An extended region ends 2 MiB short of a section, as Xen 4.18 to 4.20 cut every region.",
    why="These releases take the start of the last page for the end. A region that ends on a 2 MiB boundary loses its last "
    "2 MiB. If a section ends there, Linux loses the whole section.",
    advice="Use Xen 4.21 or newer (9b21841fd1).",
    sources=(_ADD_EXT,),
    bad=Example(guest("<0x0 0x80000000 0x0 0x1fe00000>", compatible=XEN_4_20)),
    good=Example(guest("<0x0 0x80000000 0x0 0x1ff00000>", compatible=XEN_4_20)),
)
def region_cut_by_xen(view: GuestView) -> Hits:
    if not view.xen or not view.xen.startswith(("4.18", "4.19", "4.20")):
        return
    limits, size = view.answer.limits, view.linux.section_size
    if limits is None or view.answer.target_name != "xen_resource":
        return
    for region, span in view.placed():
        cut = AddressRange.spanning(span.stop, min(span.stop + _XEN_ALIGN, IORESOURCE_END + 1)) if span.last < _TOP else None
        if cut is None or cut.stop % size or cut.stop - size < max(span.start, limits.low) or cut.last > limits.high:
            continue
        if not _in_use(view, cut):
            yield Hit(
                f"{region} ends 2 MiB before a section does: Xen {view.xen} has cut it, and {format_size(size)} are lost",
                view.node.path if view.node is not None else None,
                (span,),
                region.entry.offset,
            )


def _in_use(view: GuestView, cut: AddressRange) -> bool:
    """Tell whether something in the tree uses what Xen is said to have cut off: then the region ends there by right."""
    if view.memory.memory.touches(cut) or view.answer.iomem.root.overlapping(cut.start, cut.last):
        return True
    return any(item.range.overlaps(cut) for item in view.answer.unseen)


_BELOW: Final = "<0x0 0x10000000 0x0 0x20000000>, <0x0 0x80000000 0x0 0x20000000>"


@rule(
    "X44",
    "placement-depends-on-seed",
    Severity.INFO,
    GUEST,
    what="KASLR moves the linear map, and the seed decides which extended regions the kernel can use.",
    why="Before 6.16 a kaslr-seed in /chosen moves memstart below RAM. At some boots Linux can use the regions there, at "
    "others not.",
    advice="Move the regions above the start of RAM. The seed then makes no difference.",
    sources=(Source("Linux", "arch/arm64/mm/init.c", "arm64_memblock_init", "before 6.16 (1db780bafa4c)"),),
    bad=Example(guest(_BELOW, "chosen { kaslr-seed = <0x1 0x2>; };"), linux="6.12"),
    good=Example(guest(more="chosen { kaslr-seed = <0x1 0x2>; };"), linux="6.12"),
)
def placement_depends_on_seed(view: GuestView) -> Hits:
    limits, first = view.answer.limits, next(iter(view.memory.memory), None)
    if limits is None or not limits.randomized or first is None:
        return
    start = memstart_addr(first.start, view.linux)
    below = [(region, span) for region, span in view.placed() if span.start < start]
    if below:
        region, span = below[0]
        yield Hit(
            f"{region} lies below {start:#x}, where the linear map starts without KASLR: whether it is used depends on the "
            "seed",
            view.node.path if view.node is not None else None,
            (span,),
            region.entry.offset,
        )


@rule(
    "K01",
    "kzalloc-result-untested",
    Severity.INFO,
    GUEST,
    what="The kernel tests the wrong pointer after it allocates the copy for iomem_resource (the patches V2 and V3).",
    why="If that allocation fails, the kernel writes through NULL instead of returning -ENOMEM.",
    advice="Use the code as merged in Linux 5.17.",
    sources=(Source("Linux", "drivers/xen/unpopulated-alloc.c", "fill_list", "V2 and V3 of the patch, d1a928eac729"),),
    bad=Example(guest(), linux="v3"),
    good=Example(guest(), linux="5.17"),  # the fault is the kernel's: no tree shows it
)
def kzalloc_result_untested(view: GuestView) -> Hits:
    if view.linux.wrong_kzalloc_test and view.answer.target_name == "xen_resource":
        yield Hit(f"this kernel ({view.linux.name}) does not see when the copy for iomem_resource cannot be allocated")


REGION_CAPACITY: Final[tuple[Rule, ...]] = (
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
    kzalloc_result_untested,
)

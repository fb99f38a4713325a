"""Rules about how many sections a kernel can make of the extended regions."""

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, format_size
from dtanalyze.findings import Severity, Source
from dtanalyze.linux.resource import IORESOURCE_END
from dtanalyze.rules.examples import XEN_4_20, guest
from dtanalyze.rules.model import GUEST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.region_reach import PLUGGABLE
from dtanalyze.rules.view import GuestView

__all__ = ["REGION_CAPACITY"]

_XEN_ALIGN: Final = 2 * MIB
_TOP: Final = IORESOURCE_END - _XEN_ALIGN
_FILL_LIST: Final = Source("Linux", "drivers/xen/unpopulated-alloc.c", "fill_list", "5.17 and newer")
_ADD_EXT: Final = Source("Xen", "xen/arch/arm/domain_build.c", "add_ext_regions", "4.18 to 4.20, fixed by 9b21841fd1")


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
    sources=(_FILL_LIST, PLUGGABLE),
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
        view.path,
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
            view.path,
            (span,),
            region.entry.offset,
            Severity.INFO if got else None,
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
            view.path,
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
                view.path,
                (span,),
                region.entry.offset,
            )


def _in_use(view: GuestView, cut: AddressRange) -> bool:
    """Tell whether something in the tree uses what Xen is said to have cut off: then the region ends there by right."""
    if view.memory.memory.touches(cut) or view.answer.iomem.root.overlapping(cut.start, cut.last):
        return True
    return any(item.range.overlaps(cut) for item in view.answer.unseen)


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
    no_usable_section,
    region_without_whole_section,
    capacity_in_pieces,
    region_cut_by_xen,
    kzalloc_result_untested,
)

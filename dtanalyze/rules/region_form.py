"""Rules about how the extended regions are written: their order, their size, their end."""

from typing import Final

from dtanalyze.findings import Severity, Source
from dtanalyze.linux.resource import IORESOURCE_END
from dtanalyze.rules.examples import guest
from dtanalyze.rules.model import GUEST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import GuestView, Region

__all__ = ["REGION_FORM"]

_ARCH_INIT: Final = Source("Linux", "arch/arm/xen/enlighten.c", "arch_xen_unpopulated_init", "5.17 and newer")


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
            view.path,
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
                view.path,
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
                view.path,
                (region.raw,),
                region.entry.offset,
                None if view.uses_regions else Severity.WARNING,
            )


REGION_FORM: Final[tuple[Rule, ...]] = (
    regions_not_ascending,
    region_of_size_zero,
    region_beyond_address_space,
)

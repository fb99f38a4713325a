"""The other path: RAM given back to Xen page for page, and who else takes space from iomem_resource.

Mirrors xen_alloc_ballooned_pages and additional_memory_resource (drivers/xen/balloon.c). Left out: how much RAM is
free at the time (si_mem_available), pages already ballooned out.
"""

from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.linux.resource import IORESOURCE_END, Resource
from dtanalyze.linux.unpopulated_alloc import Outcome, Request

__all__ = ["HotplugReach", "additional_memory_resource", "ballooned", "hotplug_reach"]


def ballooned(pages: int) -> Request:
    """Return what a request comes to when pages are ballooned: as many pages of RAM are gone until it is freed."""
    return Request(pages, Outcome.BALLOON, None, None, None, None, None)


class HotplugReach(NamedTuple):
    """How balloon memory hotplug would come to ``range``: the sections it takes lower down first."""

    sections_before: int
    range: AddressRange


def additional_memory_resource(iomem: Resource, profile: LinuxProfile) -> AddressRange | None:
    """Return the section that balloon memory hotplug would take first: the lowest gap of iomem_resource, unclipped."""
    start = iomem.find_resource_space(profile.section_size, 0, IORESOURCE_END, profile.section_size)
    return None if start is None else AddressRange(start, profile.section_size)


def hotplug_reach(iomem: Resource, wanted: AddressRange, profile: LinuxProfile) -> HotplugReach | None:
    """Return when balloon memory hotplug would take a section of ``wanted``, or None when never.

    It extends RAM section by section into the lowest gaps, wherever Xen's extended regions lie.
    """
    size = profile.section_size
    before = 0
    for gap_start, gap_end in iomem.gaps():
        start = -(-gap_start // size) * size
        count = max((gap_end + 1 - start) // size, 0)
        span_stop = start + count * size
        if count and start < wanted.stop and wanted.start < span_stop:
            index = max((wanted.start - start) // size, 0)
            return HotplugReach(before + index, AddressRange(start + index * size, size))
        before += count
    return None

"""Where dom0's RAM lies with cache colouring: not 1:1, at addresses that the host's RAM has.

Mirrors allocate_memory and add_hwdom_free_regions (arch/arm/domain_build.c, 4.20), allocate_hwdom_memory
(common/device-tree/domain-build.c, 4.21 and later), llc_coloring_init (common/llc-coloring.c). With ``llc-coloring=on`` a
domain owns pages of some cache colours only, scattered over RAM, so dom0 sees them in the free parts of the host's layout
instead: all RAM without reservations and the grant table. Modules are not left out, since nothing is really there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.address.units import MIB
from dtanalyze.xen.allocate_memory import Dom0Memory
from dtanalyze.xen.bootinfo import Bank, BootInfo
from dtanalyze.xen.build import Build
from dtanalyze.xen.parse_params import XenArgs, simple_strtoull
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Stop

__all__ = [
    "allocate_hwdom_memory",
    "bad_color_config",
    "llc_coloring_enabled",
    "llc_coloring_init",
    "max_nr_colors",
    "parse_color_config",
]

_PAGE: Final = 4096
_FEWEST: Final = 2
_SUPERPAGE: Final = 2 * MIB
_MIN_BANK0: Final = 128 * MIB
_NR_LLC_COLORS: Final = 128
"""CONFIG_LLC_COLORS_ORDER is 7 unless somebody changes it."""


def llc_coloring_enabled(args: XenArgs, profile: XenProfile, build: Build) -> bool:
    """Tell whether Xen colours: llc-coloring=on, or a cache that is described by llc-size= and llc-nr-ways= alone."""
    described = args.llc_coloring is not False and bool(args.llc_size and args.llc_nr_ways)
    return profile.llc_coloring and build.has("LLC_COLORING") and (bool(args.llc_coloring) or described)


def max_nr_colors(args: XenArgs) -> int | None:
    """Return how many colours the cache has, None where only the CPU knows."""
    return args.llc_size // args.llc_nr_ways // _PAGE if args.llc_size and args.llc_nr_ways else None


def llc_coloring_init(args: XenArgs, profile: XenProfile, build: Build) -> Stop | None:
    """Return what Xen says of a cache that its line describes and that cannot be."""
    colors = max_nr_colors(args) if llc_coloring_enabled(args, profile, build) else None
    if colors is None:
        return None
    if args.llc_size // (args.llc_nr_ways or 1) % _PAGE:
        line = "LLC way size must be a multiple of PAGE_SIZE"
    elif colors & colors - 1:
        line = f"Number of LLC colors ({colors}) isn't a power of 2"
    elif colors < _FEWEST:
        line = f"Number of LLC colors {colors} < 2"
    else:
        return None
    because = f"llc-size= and llc-nr-ways= make a way of {args.llc_size // (args.llc_nr_ways or 1):#x} bytes"
    return Stop("command-line", (line,), because, silent=True)


def parse_color_config(text: str) -> list[int]:
    """Return the colours of a list that Xen takes (`bad_color_config`): numbers and ranges, both ends included."""
    colors: list[int] = []
    for item in text.split(","):
        low, dash, high = item.partition("-")
        first = simple_strtoull(low)[0]
        colors += range(first, (simple_strtoull(high)[0] if dash else first) + 1)
    return colors


def bad_color_config(text: str, most: int | None) -> bool:
    """Tell whether Xen refuses a list of colours (parse_color_config, check_colors); ``most`` None: nobody knows."""
    count = 0
    while text:
        start, text = simple_strtoull(text)
        end = start
        if text.startswith("-"):
            end, text = simple_strtoull(text[1:])
        count += end - start + 1
        if start > end or end >= min(most or _NR_LLC_COLORS, _NR_LLC_COLORS) or (most is not None and count > most):
            return True
        if text and not text.startswith(","):
            return True
        text = text[1:]
    return False


def allocate_hwdom_memory(
    info: BootInfo, profile: XenProfile, dom0_mem: int, grant_table: AddressRange | None
) -> Dom0Memory:
    """Place ``dom0_mem`` bytes; where ``unallocated`` is not 0, Xen panics.

    The banks are in Xen's order, which up to 4.21 is that of their regions' sizes.
    """
    regions = _free_regions(info, profile, grant_table)
    if not profile.hwdom_lowest_region_first:
        regions.sort(key=lambda region: -region.size)
    banks: list[AddressRange] = []
    left = dom0_mem
    for region in regions:
        size = min(region.size, left)
        too_small = not banks and size < min(dom0_mem, _MIN_BANK0) and profile.hwdom_lowest_region_first
        if not left or too_small:
            continue
        banks.append(AddressRange(region.start, size))
        left -= size
    return Dom0Memory(tuple(banks), left)


def _free_regions(info: BootInfo, profile: XenProfile, grant_table: AddressRange | None) -> list[AddressRange]:
    """Return the free parts of RAM by address, both ends at 2 MiB.

    Up to 4.20 the start of the last page counts as the end, which costs the last 2 MiB of a region that ends at one.
    """
    ram = RangeSet(_whole_pages(info.mem))
    free = ram.difference([*_whole_pages(info.reserved_mem), *([grant_table] if grant_table else [])])
    found = []
    for item in free:
        start = -(-item.start // _SUPERPAGE) * _SUPERPAGE
        stop = (item.stop - _PAGE + 1 if profile.last_page_start_is_end else item.stop) // _SUPERPAGE * _SUPERPAGE
        if start < stop:
            found.append(AddressRange.spanning(start, stop))
    return found


def _whole_pages(banks: Iterable[Bank]) -> Iterator[AddressRange]:
    for bank in banks:
        start, stop = bank.start // _PAGE * _PAGE, min(-(-bank.stop // _PAGE) * _PAGE, ADDRESS_SPACE)
        if bank.size and start < stop:
            yield AddressRange.spanning(start, stop)

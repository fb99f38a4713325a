"""Rules about extended regions that the linear map does not hold, or the CPUs cannot address."""

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import format_size
from dtanalyze.findings import Severity, Source
from dtanalyze.linux.memory_hotplug import memstart_addr
from dtanalyze.linux.profile import Arch
from dtanalyze.rules.examples import guest
from dtanalyze.rules.model import GUEST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import GuestView

__all__ = ["PLUGGABLE", "REGION_REACH"]

PLUGGABLE: Final = Source("Linux", "mm/memory_hotplug.c", "mhp_get_pluggable_range", "5.12 and newer")


@rule(
    "X13",
    "region-below-linear-map",
    Severity.WARNING,
    GUEST,
    what="An extended region lies, in whole or in part, below the start of the kernel's linear map.",
    why="The linear map begins at the start of RAM, rounded down to 1 GiB, and Linux cannot hot-plug anything below it. "
    "Before 6.16 KASLR moves that start, and the answer depends on the seed.",
    advice="Move the region above the start of RAM.",
    sources=(PLUGGABLE, Source("Linux", "arch/arm64/mm/init.c", "arm64_memblock_init", "5.17 to 7.3")),
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
                view.path,
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
    sources=(PLUGGABLE,),
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
                view.path,
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
                view.path,
                (span,),
                region.entry.offset,
                view.severity(beyond),
            )


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
            view.path,
            (span,),
            region.entry.offset,
        )


REGION_REACH: Final[tuple[Rule, ...]] = (
    region_below_linear_map,
    region_above_linear_map,
    region_beyond_physical_space,
    placement_depends_on_seed,
)

"""Where hot-pluggable memory may lie, which bounds every scratch range.

Mirrors mhp_get_pluggable_range (mm/memory_hotplug.c), arch_get_mappable_range (arch/arm64/mm/mmu.c) and the choice of
memstart_addr in arm64_memblock_init (arch/arm64/mm/init.c). Left out: the exact seed (with KASLR the map's start is one of
many, and the consequence is modelled instead), and the cap at 51 bits of a KVM host in nVHE mode, which no Xen guest is.
"""

from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.linux.profile import Arch, LinuxProfile

__all__ = [
    "USUAL_PA_BITS",
    "PluggableRange",
    "linear_map_is_randomized",
    "memstart_addr",
    "mhp_get_pluggable_range",
    "within_linear_map",
]

_X86_MAX_PHYSMEM_BITS: Final = 46
USUAL_PA_BITS: Final = 44
"""What an unknown CPU is taken to have: no fewer than most (40 or 44 bits), while servers have 48."""


class PluggableRange(NamedTuple):
    """The lowest and the highest address (inclusive) that may be hot-plugged, and why the lowest is what it is."""

    low: int
    high: int
    randomized: bool


def memstart_addr(ram_first: int, profile: LinuxProfile) -> int:
    """Return the physical address at which the linear map starts when it is not randomized.

    ``ram_first`` is the lowest byte of all enabled memory, reserved parts included. A kernel image that itself lies
    beyond the map's reach would push the start up; boot loaders and Xen put it into the lowest bank.
    """
    return ram_first // profile.memstart_align * profile.memstart_align


def within_linear_map(memory: RangeSet, profile: LinuxProfile) -> RangeSet:
    """Return the RAM that arm64_memblock_init keeps: what lies beyond the linear map's reach is removed."""
    first = next(iter(memory), None)
    if first is None or profile.arch is not Arch.ARM64:
        return memory
    reach = memstart_addr(first.start, profile) + profile.linear_map_size
    return memory.intersection([AddressRange.spanning(0, reach)])


def linear_map_is_randomized(profile: LinuxProfile, *, kaslr: bool, pa_bits: int | None) -> bool:
    """Tell whether the kernel moves memstart: KASLR, before 6.16, and room beyond the CPU's physical space.

    The room is the linear map less 2^PARange, and has to hold one step. It never does with 36 and 39 bits, whatever the CPU;
    with 42 only beside CPUs of 40 bits, with 47 and 48 beside those of up to 44. An unknown ``pa_bits`` is `USUAL_PA_BITS`.
    """
    if not (kaslr and profile.randomize_base and profile.linear_map_randomized and profile.arch is Arch.ARM64):
        return False
    width = USUAL_PA_BITS if pa_bits is None else pa_bits
    return profile.linear_map_size - (1 << width) >= profile.memstart_align


def mhp_get_pluggable_range(ram_first: int, profile: LinuxProfile, *, randomized: bool) -> PluggableRange:
    """Return the bounds that ``mhp_get_pluggable_range(true)`` gives.

    When randomization moved memstart below zero the start of the range wraps above its end and Linux takes 0
    instead: space below RAM becomes usable. The upper bound then still reaches the end of the CPU's physical space.
    """
    if profile.arch is Arch.X86:
        return PluggableRange(0, (1 << _X86_MAX_PHYSMEM_BITS) - 1, False)
    start = memstart_addr(ram_first, profile)
    low, high = 0 if randomized else start, start + profile.linear_map_size - 1
    if profile.capped_by_pa_bits:
        last = (1 << profile.pa_bits) - 1
        return PluggableRange(low, min(high, last), randomized) if low <= last else PluggableRange(0, 0, randomized)
    return PluggableRange(low, high, randomized)

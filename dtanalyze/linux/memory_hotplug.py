"""Where hot-pluggable memory may lie, which bounds every scratch range.

Mirrors mhp_get_pluggable_range (mm/memory_hotplug.c), arch_get_mappable_range (arch/arm64/mm/mmu.c) and the choice of
memstart_addr in arm64_memblock_init (arch/arm64/mm/init.c). Left out: KASAN (it halves the linear map), and the exact
seed: with KASLR the map's start is one of many, and the consequence is modelled instead.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.linux.profile import Arch, LinuxProfile

__all__ = ["PluggableRange", "linear_map_is_randomized", "memstart_addr", "mhp_get_pluggable_range"]

_X86_MAX_PHYSMEM_BITS: Final = 46


class PluggableRange(NamedTuple):
    """The lowest and the highest address (inclusive) that may be hot-plugged, and why the lowest is what it is."""

    low: int
    high: int
    randomized: bool


def memstart_addr(ram_first: int, ram_last: int, profile: LinuxProfile) -> int:
    """Return the physical address at which the linear map starts when it is not randomized.

    ``ram_first`` and ``ram_last`` are the lowest and highest byte of all enabled memory, reserved parts included.
    """
    align, size = profile.memstart_align, profile.linear_map_size
    start = ram_first // align * align
    if ram_last + 1 - start > size:
        start = -(-(ram_last + 1 - size) // align) * align
    return start


def linear_map_is_randomized(profile: LinuxProfile, *, kaslr: bool, pa_bits: int | None) -> bool:
    """Tell whether the kernel moves memstart: KASLR, before 6.16, and room beyond the CPU's physical space.

    With an unknown ``pa_bits`` the answer is yes: most cores have fewer bits than the linear map.
    """
    if not (kaslr and profile.randomize_base and profile.linear_map_randomized and profile.arch is Arch.ARM64):
        return False
    return pa_bits is None or profile.linear_map_size - (1 << pa_bits) >= profile.memstart_align


def mhp_get_pluggable_range(ram_first: int, ram_last: int, profile: LinuxProfile, *, randomized: bool) -> PluggableRange:
    """Return the bounds that ``mhp_get_pluggable_range(true)`` gives.

    When randomization moved memstart below zero the start of the range wraps above its end and Linux takes 0
    instead: space below RAM becomes usable. The upper bound then still reaches the end of the CPU's physical space.
    """
    if profile.arch is Arch.X86:
        return PluggableRange(0, (1 << _X86_MAX_PHYSMEM_BITS) - 1, False)
    start = memstart_addr(ram_first, ram_last, profile)
    high = start + profile.linear_map_size - 1
    return PluggableRange(0 if randomized else start, high, randomized)

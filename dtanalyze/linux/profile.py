"""What differs between kernels, as behaviours; only the preset table knows version numbers.

Mirrors the history of drivers/xen/unpopulated-alloc.c, arch/arm/xen/enlighten.c and what they stand on. Left out:
riscv (no Xen glue up to 7.3), 32-bit Arm beyond the fact that the option cannot be enabled there.
"""

from enum import Enum
from typing import Final, NamedTuple

from dtanalyze.address.units import GIB, KIB, MIB
from dtanalyze.board.bus import LINUX, LINUX_6_13, AddressRules
from dtanalyze.errors import UsageError

__all__ = ["NEWEST", "PRESETS", "Arch", "LinuxProfile", "Reserve", "TargetRule", "preset", "preset_names"]


class Arch(Enum):
    """The architecture that the kernel was built for."""

    ARM64 = "arm64"
    ARM = "arm"
    X86 = "x86"


class TargetRule(Enum):
    """What ``target_resource`` becomes when the architecture's hook fails."""

    NONE = "none"
    """NULL: allocate ballooned pages instead (V2, V3 and mainline)."""
    IOMEM = "iomem_resource"
    """iomem_resource, never NULL (the reviewer's proposal of 18 Nov 2021)."""
    ALWAYS_IOMEM = "always iomem_resource"
    """No hook exists (mainline 5.9 to 5.16, and x86 always)."""


class Reserve(Enum):
    """How a range taken from xen_resource is entered into iomem_resource."""

    REQUEST = "request_resource"
    INSERT = "insert_resource"


class LinuxProfile(NamedTuple):
    """One kernel's behaviour. Sizes are bytes; ``None`` for ``kaslr`` means that the tree decides."""

    name: str
    arch: Arch = Arch.ARM64
    unpopulated_alloc: bool = True
    """CONFIG_XEN_UNPOPULATED_ALLOC; by default y where ZONE_DEVICE is (drivers/xen/Kconfig)."""
    arm_can_enable: bool = True
    """Whether Kconfig lets Arm have the option: X86 only before 5.17 (d1a928eac729)."""
    target_rule: TargetRule = TargetRule.NONE
    reserve: Reserve = Reserve.REQUEST
    """insert_resource in V2, request_resource from V3 on (d1a928eac729)."""
    pluggable_range_in_fill_list: bool = True
    """fill_list passes mhp_get_pluggable_range(true); V2 passes 0..~0 and clips in the Arm hook."""
    lazy_init: bool = False
    """V2 initialises at the first allocation; from V3 on an initcall does."""
    wrong_kzalloc_test: bool = False
    """V2 and V3 test ``res`` after allocating ``tmp_res``; fixed when merged (d1a928eac729)."""
    init_error: str = "xen:unpopulated: Cannot initialize target resource"
    reg_overflow_is_error: bool = True
    """-EOVERFLOW for start+size beyond 2^64, from 6.12 (000f6d588a8f); before, it wraps."""
    partial_memory_reg_ignored: bool = False
    """7.3: a memory property that is not a multiple of its entry is ignored whole."""
    reserved_first_tuple_only: bool = False
    """7.3: only the first tuple of a /reserved-memory child is reserved."""
    memreserve_first: bool = False
    """6.1: the reserve map is read before /reserved-memory; 6.12 and later after it."""
    capped_by_pa_bits: bool = False
    """mhp_get_pluggable_range ends at 2^PA_BITS - 1 at the latest; gone where it asks PHYSMEM_END (6.12)."""
    linear_map_randomized: bool = True
    """KASLR moves memstart; removed by 1db780bafa4c (6.16)."""
    null_compatible_crashes: bool = True
    """A /hypervisor without ``compatible`` is dereferenced; fixed by f45ab27774aa (7.1)."""
    address_rules: AddressRules = LINUX
    """From 6.13 a missing #address-cells means no bus (64ee3cf096ac)."""
    page_size: int = 4 * KIB
    va_bits: int = 48
    pa_bits: int = 48
    """CONFIG_ARM64_PA_BITS: what the kernel was built for, whatever the CPU has."""
    randomize_base: bool = True
    memory_hotplug_balloon: bool = True
    """CONFIG_XEN_BALLOON_MEMORY_HOTPLUG."""

    def __str__(self) -> str:
        """Return the preset's name."""
        return self.name

    @property
    def section_size(self) -> int:
        """SECTION_SIZE in bytes: 2^27 on arm64 with 4K or 16K pages, 2^29 with 64K (f0b13ee23241, 5.12), 2^27 on x86."""
        if self.arch is Arch.ARM:
            return 256 * MIB
        return 512 * MIB if self.arch is Arch.ARM64 and self.page_size == 64 * KIB else 128 * MIB

    @property
    def pages_per_section(self) -> int:
        """PAGES_PER_SECTION, in pages of ``page_size``."""
        return self.section_size // self.page_size

    @property
    def memstart_align(self) -> int:
        """ARM64_MEMSTART_ALIGN in bytes (arch/arm64/mm/init.c)."""
        return 512 * MIB if self.page_size == 64 * KIB else GIB

    @property
    def linear_map_size(self) -> int:
        """Bytes that the arm64 linear map can hold: 2^(VA-1), or all but the modules' part with 52 bits."""
        if self.va_bits == 52:
            return (1 << 52) - (1 << (46 if self.page_size == 16 * KIB else 47))
        return 1 << (self.va_bits - 1)

    @property
    def option_on(self) -> bool:
        """Whether xen_alloc_unpopulated_pages is the real one and not xen_alloc_ballooned_pages."""
        if self.arch is Arch.ARM:
            return False
        return self.unpopulated_alloc and (self.arm_can_enable or self.arch is Arch.X86)


_MERGED: Final = LinuxProfile("5.17", reg_overflow_is_error=False, memreserve_first=True, capped_by_pa_bits=True)

PRESETS: Final[dict[str, LinuxProfile]] = {
    "v2": _MERGED._replace(
        name="v2",
        reserve=Reserve.INSERT,
        pluggable_range_in_fill_list=False,
        lazy_init=True,
        wrong_kzalloc_test=True,
        init_error="Cannot initialize Xen resource",
    ),
    "review": _MERGED._replace(
        name="review",
        target_rule=TargetRule.IOMEM,
        pluggable_range_in_fill_list=False,
    ),
    "v3": _MERGED._replace(name="v3", wrong_kzalloc_test=True),
    "5.16": _MERGED._replace(
        name="5.16", arm_can_enable=False, target_rule=TargetRule.ALWAYS_IOMEM, pluggable_range_in_fill_list=False
    ),
    "5.17": _MERGED,
    "6.1": _MERGED._replace(name="6.1"),
    "6.12": LinuxProfile("6.12"),
    "6.16": LinuxProfile("6.16", address_rules=LINUX_6_13, linear_map_randomized=False),
    "7.3": LinuxProfile(
        "7.3",
        address_rules=LINUX_6_13,
        linear_map_randomized=False,
        partial_memory_reg_ignored=True,
        reserved_first_tuple_only=True,
        null_compatible_crashes=False,
    ),
}
"""Kernels with upstream's defaults, oldest first."""

NEWEST: Final = "7.3"


def preset_names(names: str) -> tuple[str, ...]:
    """Return the names in a comma list, or of all presets for ``all``."""
    return tuple(PRESETS) if names == "all" else tuple(names.split(","))


def preset(name: str) -> LinuxProfile:
    """Return the preset called ``name``; raise `UsageError` naming all when there is none."""
    try:
        return PRESETS[name]
    except KeyError:
        raise UsageError(f"no Linux preset is called '{name}'; there are {', '.join(PRESETS)}") from None

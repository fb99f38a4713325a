"""What differs between kernels, as behaviours; only the tables at the end know version numbers.

Mirrors the history of drivers/xen/unpopulated-alloc.c, arch/arm/xen/enlighten.c and what they stand on: a release is what
all changes up to it made of the code as merged. Left out: riscv (no Xen glue up to 7.3), 32-bit Arm beyond the fact that the
option cannot be enabled there, what a distribution or stable release carries back.
"""

import re
from enum import Enum, StrEnum
from typing import Any, Final, NamedTuple, Self

from dtanalyze.address.units import GIB, KIB, MIB
from dtanalyze.board.bus import LINUX, LINUX_6_13, AddressRules
from dtanalyze.errors import UsageError

__all__ = [
    "FORKS",
    "NEWEST",
    "PRESETS",
    "Arch",
    "LinuxProfile",
    "Reserve",
    "TargetRule",
    "of_release",
    "preset",
    "preset_names",
]


class Arch(StrEnum):
    """The architecture that the kernel was built for."""

    ARM64 = "arm64"
    ARM = "arm"
    X86 = "x86"
    RISCV = "riscv"
    """Linux has no Xen support there up to 7.3."""
    OTHER = "other"
    """One for which Linux has no Xen support, as a .config may name it."""


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
    like: str = ""
    """The preset whose behaviours these are, where the name is that of a release without one."""
    remarks: tuple[str, ...] = ()
    """What was taken for granted when the kernel was named or its .config was read; sentences of *Assumed*."""
    settled: bool = False
    """Whether a .config or an option says how CONFIG_XEN_UNPOPULATED_ALLOC is set."""
    arch: Arch = Arch.ARM64
    arch_known: bool = False
    """Whether an option or a .config says for which architecture the kernel was built; else the tree's CPUs say it."""
    without_xen: str = ""
    """Why the kernel has no Xen support at all (xen_early_init is empty then); empty where it has."""
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
    pool: bool = False
    """Pages are kept in a gen_pool, best fit and in one piece, instead of on a list (a fork; `dtanalyze.linux.genalloc`)."""
    init_error: str = "xen:unpopulated: Cannot initialize target resource"
    prints_bare_addresses: bool = False
    """V2 prints a hole that cannot be inserted as bare numbers, V3 and mainline with %pR."""
    reg_overflow_is_error: bool = True
    """-EOVERFLOW for start+size beyond 2^64, from 6.12 (000f6d588a8f); before, it wraps."""
    partial_memory_reg_ignored: bool = False
    """From 7.2: a memory property that is not a multiple of its entry is ignored whole."""
    reserved_first_tuple_only: bool = False
    """From 7.2: only the first tuple of a /reserved-memory child is reserved."""
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
    kasan_scale: int | None = None
    """KASAN_SHADOW_SCALE_SHIFT: 3 with CONFIG_KASAN_GENERIC, 4 with CONFIG_KASAN_SW_TAGS, None where there is no shadow."""
    randomize_base: bool = True
    memory_hotplug_balloon: bool = True
    """CONFIG_XEN_BALLOON_MEMORY_HOTPLUG."""

    def __str__(self) -> str:
        """Return the preset's name."""
        return self.name

    def on_cpus(self, arch: Arch) -> Self:
        """Return the kernel as built for a tree's CPUs, unless it is known what it was built for."""
        if self.arch_known or self.arch is not Arch.ARM64 or arch is Arch.ARM64:
            return self
        reason = "the CPUs are RISC-V, where Linux has no Xen support" if arch is Arch.RISCV else self.without_xen
        return self._replace(arch=arch, without_xen=reason)

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
        """Bytes that the arm64 linear map can hold: PAGE_END - PAGE_OFFSET (arch/arm64/include/asm/memory.h).

        The map begins at -2^VA. It ends at -2^(VA_BITS_MIN - 1), where modules begin; with a KASAN shadow, which ends there,
        at the shadow's start, 2^(VA - scale) lower.
        """
        least = (47 if self.page_size == 16 * KIB else 48) if self.va_bits == 52 else self.va_bits
        shadow = 1 << (self.va_bits - self.kasan_scale) if self.kasan_scale is not None else 0
        return (1 << self.va_bits) - (1 << (least - 1)) - shadow

    @property
    def option_on(self) -> bool:
        """Whether xen_alloc_unpopulated_pages is the real one and not xen_alloc_ballooned_pages."""
        if self.arch is Arch.ARM:
            return False
        return self.unpopulated_alloc and (self.arm_can_enable or self.arch is Arch.X86)


_MERGED: Final = LinuxProfile(
    "5.17",
    reg_overflow_is_error=False,
    memreserve_first=True,
    capped_by_pa_bits=True,
)
"""The code as it was merged (d1a928eac729)."""

_X86_ONLY: Final[dict[str, Any]] = {
    "arm_can_enable": False,
    "target_rule": TargetRule.ALWAYS_IOMEM,
    "pluggable_range_in_fill_list": False,
}
_CHANGES: Final[tuple[tuple[tuple[int, int], dict[str, Any]], ...]] = (
    ((6, 12), {"reg_overflow_is_error": True, "memreserve_first": False, "capped_by_pa_bits": False}),
    ((6, 13), {"address_rules": LINUX_6_13}),
    ((6, 16), {"linear_map_randomized": False}),
    ((7, 1), {"null_compatible_crashes": False}),
    ((7, 2), {"partial_memory_reg_ignored": True, "reserved_first_tuple_only": True}),
)
"""What each release changed, oldest first; the fields say by which commit."""

_OLDEST: Final = (5, 9)
"""drivers/xen/unpopulated-alloc.c exists since."""
_MERGED_IN: Final = (5, 17)


def _behaviours(release: tuple[int, int]) -> LinuxProfile:
    """Return the behaviours of a release, under the name of the merged code."""
    profile = _MERGED if release >= _MERGED_IN else _MERGED._replace(**_X86_ONLY)
    for since, change in _CHANGES:
        if release >= since:
            profile = profile._replace(**change)
    return profile


def _number(name: str) -> tuple[int, int]:
    major, minor = name.split(".")
    return int(major), int(minor)


_RELEASES: Final = ("5.16", "5.17", "6.1", "6.12", "6.16", "7.3")

PRESETS: Final[dict[str, LinuxProfile]] = {
    "v2": _MERGED._replace(
        name="v2",
        reserve=Reserve.INSERT,
        pluggable_range_in_fill_list=False,
        lazy_init=True,
        wrong_kzalloc_test=True,
        init_error="Cannot initialize Xen resource",
        prints_bare_addresses=True,
    ),
    "review": _MERGED._replace(
        name="review",
        target_rule=TargetRule.IOMEM,
        pluggable_range_in_fill_list=False,
    ),
    "v3": _MERGED._replace(name="v3", wrong_kzalloc_test=True),
    **{name: _behaviours(_number(name))._replace(name=name) for name in _RELEASES},
}
"""Upstream's kernels, oldest first. The option is on, as in kernels that distributions build for dom0; upstream's own arm64
defconfig leaves ZONE_DEVICE unset in 6.1, 6.12 and 7.3, and with it the option."""

FORKS: Final[dict[str, LinuxProfile]] = {"xen-troops": _behaviours((6, 12))._replace(name="xen-troops", pool=True)}
"""Kernels of others, on what they were last based."""

NEWEST: Final = "7.3"

_RELEASE: Final = re.compile(r"v?(\d{1,3})\.(\d{1,3})((?:\.\d{1,6})?)(?:[-+~_.][\w.+~-]*)?")


def preset_names(names: str) -> tuple[str, ...]:
    """Return the names in a comma list, each once, or of all of upstream's presets for ``all``."""
    return tuple(PRESETS) if names == "all" else tuple(dict.fromkeys(names.split(",")))


def preset(name: str) -> LinuxProfile:
    """Return the preset called ``name``, or the kernel of any release (``6.6``, ``v6.12.10``).

    Raises `UsageError` naming neighbours and all presets when it is neither.
    """
    found = PRESETS.get(name) or FORKS.get(name)
    if found is not None:
        return found
    match = _RELEASE.fullmatch(name)
    if match is None or int(match[1]) > _number(NEWEST)[0]:
        raise UsageError(_no_preset(name))
    release = (int(match[1]), int(match[2]))
    if release < _OLDEST:
        raise UsageError(f"no Linux preset is called '{name}': it is older than 5.9, where the allocation began")
    return of_release(release, f"{release[0]}.{release[1]}{match[3]}")


def of_release(release: tuple[int, int], name: str) -> LinuxProfile:
    """Return the kernel of a release, older than all presets too, called ``name``; what was taken for it is a remark."""
    wanted = _behaviours(release)
    alike = [item for item in _RELEASES if _behaviours(_number(item)) == wanted]
    like = alike[-1] if alike else max((item for item in _RELEASES if _number(item) <= release), key=_number)
    if release > _number(NEWEST):
        remark = f"Linux {name} is newer than what is known here, taken to behave as {NEWEST}"
    elif name == like:
        return wanted._replace(name=name)
    elif alike:
        remark = f"Linux {name} behaves as {like}"
    else:
        remark = f"Linux {name} behaves as {like} with what changed up to it"
    return wanted._replace(name=name, like=like, remarks=(remark,))


def _no_preset(name: str) -> str:
    from difflib import get_close_matches  # needed once, before the end

    near = get_close_matches(name, (*PRESETS, *FORKS), n=2, cutoff=0.4)
    hint = f" (did you mean {' or '.join(near)}?)" if near else ""
    return (
        f"no Linux preset is called '{name}'{hint}; there are {', '.join((*PRESETS, *FORKS))}, "
        f"and every release from 5.9 to {_number(NEWEST)[0]}.x, as 6.6 or v6.12.10"
    )

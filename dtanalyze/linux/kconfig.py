"""A kernel's own .config over a preset.

Only what decides about scratch pages is read. ``CONFIG_ARM64_VA_BITS=52`` is taken for VA_BITS_MIN, 48 or with 16K pages
47: such a kernel uses 52 bits only on hardware that has them, which a .config cannot know.
"""

from __future__ import annotations

import re
from typing import Final

from dtanalyze.address.units import KIB
from dtanalyze.board.bus import LINUX_6_13
from dtanalyze.errors import InputError
from dtanalyze.linux.profile import NEWEST, PRESETS, Arch, LinuxProfile, preset

__all__ = ["apply_kconfig", "at_version", "preset_of_version", "profile_of", "read_kconfig"]

_SET: Final = re.compile(r'(CONFIG_\w+)=("?)(.*?)\2')
_UNSET: Final = re.compile(r"# (CONFIG_\w+) is not set")
_BANNER: Final = re.compile(r"# Linux/(\w+) (\d+)\.(\d+)\S* Kernel Configuration")


def profile_of(text: str, name: str | None = None) -> LinuxProfile:
    """Return the preset called ``name``, or the one of the .config's version, with what the .config sets.

    Raises `InputError` for what is no .config and `UsageError` for what is no preset.
    """
    options, version = read_kconfig(text)
    if name is not None or version is None:
        return apply_kconfig(preset(name or NEWEST), options)
    return apply_kconfig(at_version(preset(preset_of_version(version)), version), options)


def read_kconfig(text: str) -> tuple[dict[str, str], tuple[int, int] | None]:
    """Return the options of a .config (unset ones as ``n``) and the kernel version of its banner, if it has one.

    Raises `InputError` when no line looks like one of a .config.
    """
    options: dict[str, str] = {}
    version: tuple[int, int] | None = None
    for line in text.splitlines():
        if match := _SET.fullmatch(line):
            options[match[1]] = match[3]
        elif match := _UNSET.fullmatch(line):
            options[match[1]] = "n"
        elif match := _BANNER.fullmatch(line):
            version = (int(match[2]), int(match[3]))
    if not options:
        raise InputError("not a kernel .config: no line reads CONFIG_…=… or '# CONFIG_… is not set'")
    return options, version


def preset_of_version(version: tuple[int, int]) -> str:
    """Return the newest preset that is not newer than ``version`` (the oldest one for what is older still)."""
    released = {tuple(int(part) for part in name.split(".")): name for name in PRESETS if name[0].isdigit()}
    fitting = [key for key in released if key <= version]
    return released[max(fitting)] if fitting else released[min(released)]


def at_version(profile: LinuxProfile, version: tuple[int, int]) -> LinuxProfile:
    """Return the preset with what changed between it and ``version``, where the next preset is newer still."""
    if version >= (6, 13):
        profile = profile._replace(address_rules=LINUX_6_13)
    if version >= (7, 1):
        profile = profile._replace(null_compatible_crashes=False)
    return profile


def apply_kconfig(profile: LinuxProfile, options: dict[str, str]) -> LinuxProfile:
    """Return ``profile`` as this .config built it; raise `InputError` when its address bits are no number."""
    arch = profile.arch
    if options.get("CONFIG_ARM64") == "y":
        arch = Arch.ARM64
    elif options.get("CONFIG_ARM") == "y":
        arch = Arch.ARM
    elif options.get("CONFIG_X86") == "y":
        arch = Arch.X86
    page_size = profile.page_size
    for name, size in (("4K", 4), ("16K", 16), ("64K", 64)):
        if options.get(f"CONFIG_ARM64_{name}_PAGES") == "y":
            page_size = size * KIB
    va_bits = options.get("CONFIG_ARM64_VA_BITS", str(profile.va_bits))
    if not re.fullmatch("3[6-9]|4[0-9]|5[0-2]", va_bits):
        raise InputError(f"CONFIG_ARM64_VA_BITS is '{va_bits}', not a number of bits from 36 to 52")
    pa_bits = options.get("CONFIG_ARM64_PA_BITS", str(profile.pa_bits))
    if pa_bits not in ("48", "52"):
        raise InputError(f"CONFIG_ARM64_PA_BITS is '{pa_bits}', neither 48 nor 52")
    return profile._replace(
        arch=arch,
        page_size=page_size,
        va_bits=_fallback(int(va_bits), page_size),
        pa_bits=int(pa_bits),
        unpopulated_alloc=options.get("CONFIG_XEN_UNPOPULATED_ALLOC") == "y",
        randomize_base=options.get("CONFIG_RANDOMIZE_BASE") == "y",
        memory_hotplug_balloon=options.get("CONFIG_XEN_BALLOON_MEMORY_HOTPLUG") == "y",
    )


def _fallback(va_bits: int, page_size: int) -> int:
    """Return VA_BITS_MIN (arch/arm64/include/asm/memory.h)."""
    if va_bits <= 48:
        return va_bits
    return 47 if page_size == 16 * KIB else 48

"""A kernel's own .config over a preset.

Only what decides about scratch pages is read, by the dependencies of drivers/xen/Kconfig, mm/Kconfig and
arch/arm64/Kconfig: an option that is absent is off only where the file shows that it cannot be chosen. What leaves defaults
out (``make savedefconfig``, most BSP repositories, a cut file) is refused. ``CONFIG_ARM64_VA_BITS=52`` is taken for
VA_BITS_MIN, 48 or with 16K pages 47: such a kernel uses 52 bits only on hardware that has them, which a .config cannot know.
"""

from __future__ import annotations

import re
import zlib
from typing import Final, NamedTuple

from dtanalyze.address.units import KIB, MIB
from dtanalyze.errors import InputError
from dtanalyze.linux.profile import NEWEST, Arch, LinuxProfile, of_release, preset

__all__ = ["Kconfig", "apply_kconfig", "decoded", "profile_of", "read_kconfig"]

_SET: Final = re.compile(r'(CONFIG_\w+)=("?)(.*?)\2')
_UNSET: Final = re.compile(r"# (CONFIG_\w+) is not set")
_BANNER: Final = re.compile(r"# Linux/(\w+) ((\d+)\.(\d+)\S*) Kernel Configuration")
_ARCHITECTURES: Final = {"ARM64": Arch.ARM64, "ARM": Arch.ARM, "X86": Arch.X86}
_OTHERS: Final = (
    *("ALPHA", "ARC", "CSKY", "HEXAGON", "LOONGARCH", "M68K", "MICROBLAZE", "MIPS", "NIOS2", "OPENRISC", "PARISC"),
    *("PPC", "RISCV", "S390", "SPARC", "SUPERH", "UML", "XTENSA"),
)
_PAGES: Final = {"4K": 4 * KIB, "16K": 16 * KIB, "64K": 64 * KIB}
_LARGEST: Final = 16 * MIB
"""Bytes of text; the configs of distributions have 300 KiB."""


class Kconfig(NamedTuple):
    """What a .config says: its options without ``CONFIG_`` (unset ones as ``n``) and the release of its banner."""

    options: dict[str, str]
    release: str | None
    version: tuple[int, int] | None

    def on(self, name: str) -> bool:
        """Tell whether an option is built in."""
        return self.options.get(name) == "y"


def profile_of(content: str | bytes, name: str | None = None) -> LinuxProfile:
    """Return the preset called ``name``, or the one of the .config's version, with what the .config sets.

    Raises `InputError` for what is no whole .config and `UsageError` for what is no preset.
    """
    config = read_kconfig(decoded(content) if isinstance(content, bytes) else content)
    if name is not None:
        profile = preset(name)
        if config.release is not None and not f"{config.release}.".startswith(f"{profile.name}."):
            remark = f"the .config is of Linux {config.release}, read as one of {profile.name} as --linux says"
            profile = profile._replace(remarks=(*profile.remarks, remark))
    elif config.version is not None and config.release is not None:
        profile = of_release(config.version, config.release)
    else:
        profile = preset(NEWEST)._replace(
            remarks=(f"the .config names no release, a guess: Linux {NEWEST} (--linux settles it)",)
        )
    return apply_kconfig(profile, config)


def decoded(content: bytes) -> str:
    """Return the text of a .config as it stands on a disk: plain, UTF-16 as Windows writes it, or /proc/config.gz.

    Raises `InputError` for compressed data that is damaged or unpacks to more than any .config.
    """
    if content.startswith(b"\x1f\x8b"):
        unpack = zlib.decompressobj(wbits=31)
        try:
            content = unpack.decompress(content, _LARGEST)
        except zlib.error as error:
            raise InputError(f"it begins as a gzip file and cannot be unpacked: {error}") from error
        if unpack.unconsumed_tail:
            raise InputError(f"it unpacks to more than {_LARGEST // MIB} MiB: no kernel .config is as large")
        if not unpack.eof:
            raise InputError("the gzip file ends too early")
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    return content.decode("utf-8-sig", "surrogateescape")


def read_kconfig(text: str) -> Kconfig:
    """Return what a .config says, whatever it is indented by; raise `InputError` when no line looks like one of it."""
    options: dict[str, str] = {}
    release: str | None = None
    version: tuple[int, int] | None = None
    for line in map(str.strip, text.splitlines()):
        if match := _SET.fullmatch(line):
            options[match[1].removeprefix("CONFIG_")] = match[3]
        elif match := _UNSET.fullmatch(line):
            options[match[1].removeprefix("CONFIG_")] = "n"
        elif match := _BANNER.fullmatch(line):
            release, version = match[2], (int(match[3]), int(match[4]))
    if not options:
        raise InputError("not a kernel .config: no line reads CONFIG_…=… or '# CONFIG_… is not set'")
    return Kconfig(options, release, version)


def apply_kconfig(profile: LinuxProfile, config: Kconfig) -> LinuxProfile:
    """Return ``profile`` as this .config built it.

    Raises `InputError` when it leaves out what decides, or states address bits that no arm64 kernel has.
    """
    arch, built_for = _architecture(config)
    profile = profile._replace(arch=arch, arch_known=True)
    if arch is Arch.OTHER:
        reason = f"the kernel is built for {built_for}, where Linux has no Xen support"
        return profile._replace(without_xen=reason, settled=True)
    if arch is Arch.ARM64:
        _demand(config, "XEN")
    if not config.on("XEN"):
        reason = "CONFIG_XEN is off in the .config: xen_early_init is empty, so this kernel boots as on bare hardware"
        return profile._replace(without_xen=reason, settled=True)
    profile = profile._replace(
        settled=True,
        unpopulated_alloc=_unpopulated_alloc(profile, config),
        memory_hotplug_balloon=config.on("XEN_BALLOON_MEMORY_HOTPLUG"),
    )
    return _with_addresses(profile, config) if arch is Arch.ARM64 else profile


def _architecture(config: Kconfig) -> tuple[Arch, str]:
    for name, arch in _ARCHITECTURES.items():
        if config.on(name):
            return arch, arch.value
    other = next((name for name in _OTHERS if config.on(name)), None)
    if other is not None:
        return Arch.OTHER, other.lower()
    raise _incomplete("an architecture (CONFIG_ARM64=y)")


def _incomplete(what: str) -> InputError:
    return InputError(
        f"it does not state {what}: no whole .config, and what it leaves out is not off (make savedefconfig and cut files "
        "leave defaults out); run make olddefconfig with it and give the .config that this writes"
    )


def _demand(config: Kconfig, name: str) -> None:
    """Raise `InputError` when the file lacks an option that every arm64 .config states."""
    if name not in config.options:
        raise _incomplete(f"CONFIG_{name}")


def _unpopulated_alloc(profile: LinuxProfile, config: Kconfig) -> bool:
    """Return how CONFIG_XEN_UNPOPULATED_ALLOC is set; absent it is off only where one of its dependencies is seen to be off.

    It depends on ZONE_DEVICE, that on MEMORY_HOTPLUG, MEMORY_HOTREMOVE and SPARSEMEM_VMEMMAP (mm/Kconfig).
    """
    stated = config.options.get("XEN_UNPOPULATED_ALLOC")
    if stated is not None:
        return stated == "y"
    can = profile.arch is Arch.ARM64 and profile.arm_can_enable
    needed = ("ZONE_DEVICE", "MEMORY_HOTPLUG", "MEMORY_HOTREMOVE", "SPARSEMEM_VMEMMAP")
    if can and not any(config.options.get(name) == "n" for name in needed):
        raise _incomplete("CONFIG_XEN_UNPOPULATED_ALLOC, nor that one of its dependencies is off")
    return False


def _with_addresses(profile: LinuxProfile, config: Kconfig) -> LinuxProfile:
    """Return an arm64 profile with page size, address bits, KASLR and KASAN as this .config states them."""
    sizes = [size for name, size in _PAGES.items() if config.on(f"ARM64_{name}_PAGES")]
    if not sizes:
        raise _incomplete("a page size (CONFIG_ARM64_4K_PAGES and its like)")
    for name in ("ARM64_VA_BITS", "RANDOMIZE_BASE"):
        _demand(config, name)
    va_bits = config.options["ARM64_VA_BITS"]
    if not re.fullmatch("3[6-9]|4[0-9]|5[0-2]", va_bits):
        raise InputError(f"CONFIG_ARM64_VA_BITS is '{va_bits}', not a number of bits from 36 to 52")
    pa_bits = config.options.get("ARM64_PA_BITS", str(profile.pa_bits))
    if pa_bits not in ("48", "52"):
        raise InputError(f"CONFIG_ARM64_PA_BITS is '{pa_bits}', neither 48 nor 52")
    remarks = profile.remarks
    if "KASAN" not in config.options and "HAVE_ARCH_KASAN" not in config.options:
        remarks = (*remarks, "CONFIG_KASAN: not in the .config, taken as off")
    return profile._replace(
        page_size=sizes[-1],
        va_bits=_fallback(int(va_bits), sizes[-1]),
        pa_bits=int(pa_bits),
        kasan_scale=3 if config.on("KASAN_GENERIC") else 4 if config.on("KASAN_SW_TAGS") else None,
        randomize_base=config.on("RANDOMIZE_BASE"),
        remarks=remarks,
    )


def _fallback(va_bits: int, page_size: int) -> int:
    """Return VA_BITS_MIN (arch/arm64/include/asm/memory.h)."""
    if va_bits <= 48:
        return va_bits
    return 47 if page_size == 16 * KIB else 48

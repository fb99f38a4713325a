"""Which kernels read the tree."""

from typing import Annotated, Final, NamedTuple

from dtanalyze.address.units import KIB
from dtanalyze.cli.option import Group, Option
from dtanalyze.cli.values import choice, content, named
from dtanalyze.errors import UsageError
from dtanalyze.linux.profile import FORKS, NEWEST, PRESETS, Arch, LinuxProfile, preset, preset_names

__all__ = ["KernelGroup", "KernelOptions"]

_PAGE_SIZES: Final = {"4K": 4 * KIB, "16K": 16 * KIB, "64K": 64 * KIB}
_VA_BITS: Final = (36, 39, 42, 47, 48, 52)
_ARCHITECTURES: Final = tuple(item.value for item in (Arch.ARM64, Arch.ARM, Arch.X86))


class KernelOptions(NamedTuple):
    """Which kernels read the tree."""

    linux: Annotated[
        str | None,
        Option(
            "--linux",
            metavar="PRESET[,…]|all",
            help=f"Kernel: {', '.join((*PRESETS, *FORKS))}, or any release as 6.6. Default {NEWEST}, or the .config's.",
            show_default=False,
        ),
    ] = None
    arch: Annotated[
        str | None,
        Option(
            "--arch",
            metavar="arm64|arm|x86",
            help="Architecture of the kernel. Default: as the tree's CPUs.",
            show_default=False,
        ),
    ] = None
    kconfig: Annotated[
        str | None,
        Option(
            "--kconfig",
            metavar="FILE",
            help="The kernel's whole .config, or its /proc/config.gz; overrides the preset.",
            show_default=False,
        ),
    ] = None
    unpopulated_alloc: Annotated[
        bool | None,
        Option(
            "--unpopulated-alloc/--no-unpopulated-alloc",
            help="CONFIG_XEN_UNPOPULATED_ALLOC. Default: on, as distributions build it.",
            show_default=False,
        ),
    ] = None
    page_size: Annotated[
        str | None,
        Option("--page-size", metavar="4K|16K|64K", help="Page size of the kernel. Default 4K.", show_default=False),
    ] = None
    va_bits: Annotated[
        int | None,
        Option(
            "--va-bits",
            metavar="N",
            help="Virtual address bits in use: 52 only on hardware that has them. Default 48.",
            show_default=False,
        ),
    ] = None
    kaslr: Annotated[
        bool | None,
        Option(
            "--kaslr/--no-kaslr", help="Whether KASLR runs. Default: a kaslr-seed in /chosen means yes.", show_default=False
        ),
    ] = None

    def profiles(self) -> tuple[LinuxProfile, ...]:
        """Return the kernels that ``--linux`` names, a comma list or ``all``, each with the other options."""
        names = (None,) if self.linux is None else preset_names(self.linux)
        return tuple(self._profile(name) for name in names)

    def _profile(self, name: str | None) -> LinuxProfile:
        """Return one kernel: preset, then .config, then single options."""
        if self.kconfig is None:
            profile = preset(NEWEST if name is None else name)
        else:
            from dtanalyze.linux.kconfig import profile_of

            kconfig = self.kconfig
            profile = named(self.kconfig, lambda: profile_of(content(kconfig), name))
        if self.arch is not None:
            profile = profile._replace(arch=Arch(choice(self.arch, _ARCHITECTURES, "--arch")), arch_known=True)
        if self.unpopulated_alloc is not None:
            profile = profile._replace(unpopulated_alloc=self.unpopulated_alloc, settled=True)
        if self.page_size is not None:
            size = _PAGE_SIZES[choice(self.page_size, tuple(_PAGE_SIZES), "--page-size")]
            profile = profile._replace(page_size=size)
        if self.va_bits is not None:
            if self.va_bits not in _VA_BITS:
                raise UsageError(f"--va-bits takes one of {', '.join(map(str, _VA_BITS))}, not {self.va_bits}")
            profile = profile._replace(va_bits=self.va_bits)
        self._held_to(profile.arch)
        return profile

    def _held_to(self, arch: Arch) -> None:
        """Refuse what only arm64 kernels have for another that was asked for by name."""
        asked = {"--va-bits": self.va_bits is not None, "--page-size": self.page_size not in (None, "4K")}
        if self.arch is not None and arch is not Arch.ARM64:
            for option in (option for option, given in asked.items() if given):
                raise UsageError(f"{option} is of arm64 kernels: one on {arch.value} has pages of 4K and its own addresses")


KernelGroup = Annotated[KernelOptions, Group("The kernel")]

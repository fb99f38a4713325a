"""Options that several commands share, and their way into profiles and questions."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from dtanalyze.address.units import KIB, parse_range, parse_size
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.errors import InputError, UsageError
from dtanalyze.linux.profile import NEWEST, PRESETS, Arch, LinuxProfile, preset
from dtanalyze.linux.unpopulated_alloc import MAX_REQUEST_PAGES
from dtanalyze.report.style import PLAIN, TERMINAL, Style

__all__ = [
    "ArchOption",
    "AsOption",
    "ColorOption",
    "KaslrOption",
    "KconfigOption",
    "LinuxOption",
    "MemoryOption",
    "OverlayMatrixOption",
    "OverlayOption",
    "PageSizeOption",
    "PathsArgument",
    "ProcIomemOption",
    "RequestOption",
    "UnpopulatedOption",
    "VaBitsOption",
    "choice",
    "need_pages",
    "profile_from",
    "profiles_from",
    "read_text",
    "question_from",
    "style_from",
]

_PAGE_SIZES: Final = {"4K": 4 * KIB, "16K": 16 * KIB, "64K": 64 * KIB}
_VA_BITS: Final = (36, 39, 42, 47, 48, 52)
_TREES: Final = ("host", "dom0", "domu")

PathsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Trees: .dtb, FIT images, concatenations, .dts; folders, 'patterns*', @lists; - reads standard input.",
        show_default=False,
    ),
]
OverlayOption = Annotated[
    list[str] | None,
    typer.Option("--overlay", metavar="DTBO", help="Apply this overlay first (repeatable, in order).", show_default=False),
]
OverlayMatrixOption = Annotated[
    bool, typer.Option("--overlay-matrix", help="Every combination of the overlays that applies, none of them included.")
]
LinuxOption = Annotated[
    str | None,
    typer.Option(
        "--linux",
        metavar="PRESET[,…]|all",
        help=f"Kernel: {', '.join(PRESETS)}. Default {NEWEST}, or the .config's version.",
        show_default=False,
    ),
]
ArchOption = Annotated[
    str | None,
    typer.Option("--arch", metavar="arm64|arm|x86", help="Architecture of the kernel. Default arm64.", show_default=False),
]
KconfigOption = Annotated[
    str | None, typer.Option("--kconfig", metavar="FILE", help="A kernel .config; overrides the preset.", show_default=False)
]
UnpopulatedOption = Annotated[
    bool | None,
    typer.Option(
        "--unpopulated-alloc/--no-unpopulated-alloc",
        help="CONFIG_XEN_UNPOPULATED_ALLOC. Default: as upstream, on.",
        show_default=False,
    ),
]
PageSizeOption = Annotated[
    str | None,
    typer.Option("--page-size", metavar="4K|16K|64K", help="Page size of the kernel. Default 4K.", show_default=False),
]
VaBitsOption = Annotated[
    int | None,
    typer.Option(
        "--va-bits",
        metavar="N",
        help="Virtual address bits in use: 52 only on hardware that has them. Default 48.",
        show_default=False,
    ),
]
KaslrOption = Annotated[
    bool | None,
    typer.Option(
        "--kaslr/--no-kaslr", help="Whether KASLR runs. Default: a kaslr-seed in /chosen means yes.", show_default=False
    ),
]
ProcIomemOption = Annotated[
    str | None,
    typer.Option("--proc-iomem", metavar="FILE", help="A recorded /proc/iomem: its claims are certain.", show_default=False),
]
MemoryOption = Annotated[
    list[str] | None,
    typer.Option(
        "--memory",
        metavar="RANGE",
        help="RAM, replacing the tree's memory nodes (repeatable): 0x40000000+2G.",
        show_default=False,
    ),
]
AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="host|dom0|domu",
        help="Whose tree it is. Default: a guest's with /hypervisor, else a host's.",
        show_default=False,
    ),
]
RequestOption = Annotated[
    list[int] | None,
    typer.Option(
        "--request",
        metavar="PAGES",
        help="A mapping of so many pages to simulate (repeatable, in order).",
        show_default=False,
    ),
]
ColorOption = Annotated[
    str,
    typer.Option(
        "--color", metavar="auto|always|never", help="Colour; auto heeds NO_COLOR and FORCE_COLOR.", show_default=True
    ),
]


def choice(value: str, allowed: tuple[str, ...], option: str) -> str:
    """Return ``value`` when it is allowed; raise `UsageError` naming all that are."""
    if value not in allowed:
        raise UsageError(f"{option} takes {', '.join(allowed[:-1])} or {allowed[-1]}, not '{value}'")
    return value


def read_text(path: str) -> str:
    """Return a text file's content; raise `InputError` with the path when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def profiles_from(
    linux: str | None,
    arch: str | None,
    kconfig: str | None,
    unpopulated_alloc: bool | None,
    page_size: str | None,
    va_bits: int | None,
) -> tuple[LinuxProfile, ...]:
    """Return the kernels that ``--linux`` names, a comma list or ``all``, each with the other options."""
    names: list[str | None] = [None]
    if linux is not None:
        names = [*PRESETS] if linux == "all" else [*linux.split(",")]
    return tuple(profile_from(name, arch, kconfig, unpopulated_alloc, page_size, va_bits) for name in names)


def profile_from(
    linux: str | None,
    arch: str | None,
    kconfig: str | None,
    unpopulated_alloc: bool | None,
    page_size: str | None,
    va_bits: int | None,
) -> LinuxProfile:
    """Return the kernel that the options name: preset, then .config, then single options."""
    options: dict[str, str] = {}
    version: tuple[int, int] | None = None
    name = linux
    if kconfig is not None:
        from dtanalyze.linux.kconfig import preset_of_version, read_kconfig

        try:
            options, version = read_kconfig(read_text(kconfig))
        except InputError as error:
            raise InputError(str(error) if str(error).startswith(kconfig) else f"{kconfig}: {error}") from error
        if name is None and version is not None:
            name = preset_of_version(version)
        else:
            version = None
    profile = preset(name or NEWEST)
    if options:
        from dtanalyze.linux.kconfig import apply_kconfig, at_version

        profile = at_version(profile, version) if version is not None else profile
        profile = apply_kconfig(profile, options)
    if arch is not None:
        profile = profile._replace(arch=Arch(choice(arch, tuple(item.value for item in Arch), "--arch")))
    if unpopulated_alloc is not None:
        profile = profile._replace(unpopulated_alloc=unpopulated_alloc)
    if page_size is not None:
        profile = profile._replace(page_size=_PAGE_SIZES[choice(page_size, tuple(_PAGE_SIZES), "--page-size")])
    if va_bits is not None:
        if va_bits not in _VA_BITS:
            raise UsageError(f"--va-bits takes one of {', '.join(map(str, _VA_BITS))}, not {va_bits}")
        profile = profile._replace(va_bits=va_bits)
    return profile


def question_from(
    profile: LinuxProfile,
    *,
    tree: str | None = None,
    kaslr: bool | None = None,
    memory: list[str] | None = None,
    requests: list[int] | None = None,
    need: str | None = None,
    proc_iomem: str | None = None,
    reuse: bool = False,
) -> CheckOptions:
    """Return the question that the options ask; raise `UsageError` or `InputError` when one cannot be used."""
    if tree is not None:
        choice(tree, _TREES, "--as")
    for pages in requests or ():
        if not 0 < pages <= MAX_REQUEST_PAGES:
            raise UsageError(f"--request takes 1 to {MAX_REQUEST_PAGES} pages, not {pages}")
    recorded = None
    if proc_iomem is not None:
        from dtanalyze.linux.proc_iomem import read_proc_iomem

        text = read_text(proc_iomem)
        try:
            recorded = read_proc_iomem(text)
        except InputError as error:
            raise InputError(f"{proc_iomem}: {error}") from error
    return CheckOptions(
        linux=profile,
        tree=tree,
        kaslr=kaslr,
        memory=tuple(parse_range(item) for item in memory or ()),
        requests=tuple(requests or ()),
        need=need_pages(need, profile.page_size) if need is not None else None,
        recorded=recorded,
        reuse=reuse,
    )


def need_pages(text: str, page_size: int) -> int:
    """Return the pages that ``--need`` asks for: a bare number is pages, one with K, M, G or T a size."""
    if text.strip().isdigit():
        return int(text)
    return -(-parse_size(text) // page_size)


def style_from(color: str) -> Style:
    """Return the style for standard output."""
    choice(color, ("auto", "always", "never"), "--color")
    if color == "auto":
        on = bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
        return TERMINAL if on and not os.environ.get("NO_COLOR") else PLAIN
    return TERMINAL if color == "always" else PLAIN

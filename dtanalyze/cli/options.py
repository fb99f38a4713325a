"""Options that several commands share, in groups, and their way into profiles and questions."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple, TypeVar

from dtanalyze.address.range import ADDRESS_SPACE
from dtanalyze.address.units import KIB, parse_ram, parse_size
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.cli.option import Argument, Group, Option
from dtanalyze.errors import InputError, UsageError
from dtanalyze.inputs import reading
from dtanalyze.inputs.files import Overlays, read_overlays
from dtanalyze.inputs.sourcing import Sourcing, cpp_args_from
from dtanalyze.linux.profile import FORKS, NEWEST, PRESETS, Arch, LinuxProfile, preset, preset_names
from dtanalyze.linux.unpopulated_alloc import MAX_REQUEST_PAGES
from dtanalyze.report.style import PLAIN, TERMINAL, Style

if TYPE_CHECKING:
    from dtanalyze.evidence.lines import Line

__all__ = [
    "ColorOption",
    "FormatOption",
    "KernelGroup",
    "KernelOptions",
    "MappingGroup",
    "MappingOptions",
    "MemoryOption",
    "OverlayGroup",
    "OverlayOptions",
    "PathsArgument",
    "SourceGroup",
    "SourceOptions",
    "TreeGroup",
    "TreeOptions",
    "address",
    "choice",
    "question",
    "read_file",
    "read_log",
    "read_text",
    "style_from",
]

T = TypeVar("T")


_PAGE_SIZES: Final = {"4K": 4 * KIB, "16K": 16 * KIB, "64K": 64 * KIB}
_VA_BITS: Final = (36, 39, 42, 47, 48, 52)
_TREES: Final = ("host", "dom0", "domu")
_ARCHITECTURES: Final = tuple(item.value for item in (Arch.ARM64, Arch.ARM, Arch.X86))

PathsArgument = Annotated[
    list[str],
    Argument(
        metavar="PATH...",
        help="Trees: .dtb, FIT images, kernels, Android and EFI images, .dts; folders, 'patterns*', @lists; - reads stdin.",
        show_default=False,
    ),
]
FormatOption = Annotated[str, Option("--format", metavar="text|json", help="How to print the answer.")]
ColorOption = Annotated[
    str,
    Option("--color", metavar="auto|always|never", help="Colour; auto heeds NO_COLOR and FORCE_COLOR.", show_default=True),
]
MemoryOption = Annotated[
    list[str] | None,
    Option(
        "--memory",
        metavar="RANGE",
        help="RAM, replacing the tree's memory nodes (repeatable): 0x40000000+2G.",
        show_default=False,
    ),
]


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
            help="CONFIG_XEN_UNPOPULATED_ALLOC. Default: as upstream, on.",
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
            profile = _named(self.kconfig, lambda: profile_of(_content(kconfig), name))
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


class TreeOptions(NamedTuple):
    """What the tree is taken for, and the RAM that a boot loader would fill in."""

    as_: Annotated[
        str | None,
        Option(
            "--as",
            metavar="host|dom0|domu",
            help="Whose tree it is. Default: a guest's with /hypervisor, else a host's.",
            show_default=False,
        ),
    ] = None
    memory: MemoryOption = None
    assume_memory: Annotated[
        str,
        Option(
            "--assume-memory",
            metavar="never|auto",
            help="auto: where the tree lists no RAM, take 2 GiB at the address it shows; a warning says so.",
        ),
    ] = "never"


class MappingOptions(NamedTuple):
    """What the guest will ask for, and what is known of who has claimed what."""

    request: Annotated[
        list[int] | None,
        Option(
            "--request",
            metavar="PAGES",
            help="A mapping of so many pages to simulate (repeatable, in order).",
            show_default=False,
        ),
    ] = None
    need: Annotated[
        str | None,
        Option("--need", metavar="PAGES|SIZE", help="Capacity the product needs; less is an error.", show_default=False),
    ] = None
    proc_iomem: Annotated[
        str | None,
        Option("--proc-iomem", metavar="FILE", help="A recorded /proc/iomem: its claims are certain.", show_default=False),
    ] = None


class OverlayOptions(NamedTuple):
    """What is applied to each tree before anything looks at it."""

    overlay: Annotated[
        list[str] | None,
        Option(
            "--overlay",
            metavar="DTBO",
            help="Apply this overlay first, a .dtbo or a .dtso (repeatable, in order).",
            show_default=False,
        ),
    ] = None
    overlay_matrix: Annotated[
        bool,
        Option("--overlay-matrix", help="Every combination of the overlays that applies, none of them included."),
    ] = False

    def read(self, sourcing: Sourcing) -> Overlays | None:
        """Return the overlays, sources compiled as all are.

        Raises `InputError` or `UsageError` when one cannot be read or they are too many.
        """
        return read_overlays(self.overlay or [], self.overlay_matrix, sourcing)


class SourceOptions(NamedTuple):
    """How sources are compiled, and which source a blob was compiled from."""

    include: Annotated[
        list[str] | None,
        Option(
            "--include",
            "-I",
            metavar="FOLDER",
            help="Where a .dts may include from beside its own folder (repeatable).",
            show_default=False,
        ),
    ] = None
    define: Annotated[
        list[str] | None,
        Option("--define", "-D", metavar="NAME[=VALUE]", help="A macro for a .dts (repeatable).", show_default=False),
    ] = None
    source: Annotated[
        str | None,
        Option("--source", metavar="DTS", help="The source of a .dtb: findings stand at its lines.", show_default=False),
    ] = None

    cpp_args: Annotated[
        list[str] | None,
        Option(
            "--cpp-args",
            metavar="ARGS",
            help="More for cpp: -D, -U, -I, -include, -imacros, as one text (repeatable).",
            show_default=False,
        ),
    ] = None
    dtc: Annotated[
        str | None,
        Option("--dtc", metavar="FILE", help="The compiler, in place of the dtc that PATH has.", show_default=False),
    ] = None

    def sourcing(self) -> Sourcing:
        """Return what is said of sources; raise `UsageError` for what cpp is not given."""
        more = cpp_args_from(self.cpp_args or ())
        includes = (*(self.include or ()), *more.includes)
        return Sourcing(includes, tuple(self.define or ()), self.source, more.cpp_args, self.dtc)


KernelGroup = Annotated[KernelOptions, Group("The kernel")]
TreeGroup = Annotated[TreeOptions, Group("The tree")]
MappingGroup = Annotated[MappingOptions, Group("What the guest will map")]
OverlayGroup = Annotated[OverlayOptions, Group("Overlays")]
SourceGroup = Annotated[SourceOptions, Group("Sources")]

_NOTHING_MAPPED: Final = MappingOptions()


def question(
    profile: LinuxProfile,
    kaslr: bool | None,
    tree: TreeOptions,
    mappings: MappingOptions = _NOTHING_MAPPED,
    *,
    reuse: bool = False,
) -> CheckOptions:
    """Return the question that the options ask; raise `UsageError` or `InputError` when one cannot be used."""
    if tree.as_ is not None:
        choice(tree.as_, _TREES, "--as")
    requests = tuple(mappings.request or ())
    for pages in requests:
        if not 0 < pages <= MAX_REQUEST_PAGES:
            raise UsageError(f"--request takes 1 to {MAX_REQUEST_PAGES} pages, not {pages}")
    recorded = None
    if mappings.proc_iomem is not None:
        from dtanalyze.evidence.lines import cleaned
        from dtanalyze.linux.proc_iomem import read_proc_iomem

        recorded = read_file(mappings.proc_iomem, lambda text: read_proc_iomem(cleaned(text)))
    return CheckOptions(
        linux=profile,
        tree=tree.as_,
        kaslr=kaslr,
        memory=tuple(parse_ram(item) for item in tree.memory or ()),
        requests=requests,
        need=_pages(mappings.need, profile.page_size) if mappings.need is not None else None,
        recorded=recorded,
        reuse=reuse,
        assume_memory=choice(tree.assume_memory, ("never", "auto"), "--assume-memory") == "auto",
    )


def _pages(text: str, page_size: int) -> int:
    """Return the pages that ``--need`` asks for: a bare number is pages, one with K, M, G or T a size."""
    if re.fullmatch("[0-9]{1,20}", text.strip()):
        return int(text)
    return -(-parse_size(text) // page_size)


def address(text: str, option: str) -> int:
    """Return the address that an option is given; raise `UsageError` for what is none."""
    try:
        found = parse_size(text)
    except UsageError as error:
        raise UsageError(f"{option} takes an address such as 0x44000000, not '{text}'") from error
    if found >= ADDRESS_SPACE:
        raise UsageError(f"{option} takes an address of 64 bits, not '{text}'")
    return found


def choice(value: str, allowed: tuple[str, ...], option: str) -> str:
    """Return ``value`` when it is allowed; raise `UsageError` naming all that are."""
    if value not in allowed:
        raise UsageError(f"{option} takes {', '.join(allowed[:-1])} or {allowed[-1]}, not '{value}'")
    return value


def read_text(path: str) -> str:
    """Return a text file's content; raise `InputError` with the path when it cannot be read."""
    try:
        return reading.read_text(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_file(path: str, reader: Callable[[str], T]) -> T:
    """Return what ``reader`` makes of a text file; every `InputError` names the file."""
    text = read_text(path)
    return _named(path, lambda: reader(text))


def _content(path: str) -> bytes:
    return reading.read_bytes(path, reading.MAX_TEXT)


def _named(path: str, make: Callable[[], T]) -> T:
    """Return what ``make`` returns; every `InputError` names the file."""
    try:
        return make()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def read_log(path: str, reader: "Callable[[Iterator[Line]], T]") -> T:
    """Return what ``reader`` makes of Xen's lines in a log of any size, one held at a time; errors name the file."""
    from dtanalyze.evidence.lines import XEN, read_lines
    from dtanalyze.evidence.xen_console import TELLING

    def read() -> T:
        with reading.open_log(path) as stream:
            return reader(read_lines(stream, XEN, TELLING))

    return _named(path, read)


def style_from(color: str) -> Style:
    """Return the style for standard output."""
    choice(color, ("auto", "always", "never"), "--color")
    if color == "auto":
        on = bool(os.environ.get("FORCE_COLOR")) or (sys.stdout is not None and sys.stdout.isatty())
        return TERMINAL if on and not os.environ.get("NO_COLOR") else PLAIN
    return TERMINAL if color == "always" else PLAIN

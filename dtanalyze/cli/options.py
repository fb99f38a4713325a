"""Options that several commands share, in groups, and their way into questions."""

import os
import re
import sys
from typing import Annotated, Final, NamedTuple

from dtanalyze.address.units import parse_ram, parse_size
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.cli.option import Argument, Group, Option
from dtanalyze.cli.values import choice, read_file
from dtanalyze.errors import UsageError
from dtanalyze.inputs.files import Overlays, read_overlays
from dtanalyze.inputs.sourcing import Sourcing, cpp_args_from
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.linux.unpopulated_alloc import MAX_REQUEST_PAGES
from dtanalyze.report.style import PLAIN, TERMINAL, Style

__all__ = [
    "ColorOption",
    "FormatOption",
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
    "question",
    "style_from",
]

_TREES: Final = ("host", "dom0", "domu")

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


def style_from(color: str) -> Style:
    """Return the style for standard output."""
    choice(color, ("auto", "always", "never"), "--color")
    if color == "auto":
        on = bool(os.environ.get("FORCE_COLOR")) or (sys.stdout is not None and sys.stdout.isatty())
        return TERMINAL if on and not os.environ.get("NO_COLOR") else PLAIN
    return TERMINAL if color == "always" else PLAIN

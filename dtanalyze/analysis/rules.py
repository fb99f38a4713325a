"""Which rules are asked of what, and their findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from dtanalyze.address.range import AddressRange
from dtanalyze.board.model import Board
from dtanalyze.findings import Cure, Finding
from dtanalyze.linux.boot import BootAnswer
from dtanalyze.linux.memblock import Memblock
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.rules.hypervisor import HYPERVISOR
from dtanalyze.rules.layout import LAYOUT
from dtanalyze.rules.layout_overlaps import LAYOUT_OVERLAPS
from dtanalyze.rules.model import findings
from dtanalyze.rules.region_capacity import REGION_CAPACITY
from dtanalyze.rules.region_form import REGION_FORM
from dtanalyze.rules.region_overlaps import REGION_OVERLAPS
from dtanalyze.rules.region_reach import REGION_REACH
from dtanalyze.rules.view import TreeView, guest_view

if TYPE_CHECKING:
    from dtanalyze.analysis.questions import CheckOptions
    from dtanalyze.rules.view import HostView

__all__ = ["guest_findings", "host_findings", "tree_findings"]

_REPAIRED: Final = frozenset({*(f"X{number:02}" for number in (1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 14, 15)), "D10"})
"""Rules whose findings go away when the regions are cut or grown to whole free sections."""
_OVERLAPS: Final = frozenset(f"X{number:02}" for number in range(1, 7))
"""Those that name a region first: the advice says what of it is free."""
_OF_XEN: Final = "If Xen wrote this tree, check the tree that Xen booted with: that is the one to correct."


def guest_findings(
    kind: str, board: Board, memory: Memblock, answer: BootAnswer, pa_bits: int | None, options: CheckOptions, written: bool
) -> Iterator[Finding]:
    """Yield what is wrong with a tree that Linux boots with."""
    view = guest_view(
        kind, board, memory, options.linux, answer,
        pa_bits=pa_bits, requests=options.requests, need=options.need, written=written,
    )  # fmt: skip
    found = tuple(findings((*REGION_OVERLAPS, *REGION_FORM, *REGION_CAPACITY, *REGION_REACH, *HYPERVISOR), view))
    if any(item.rule in _REPAIRED for item in found):
        from dtanalyze.rules.cures.regions import FREE_SPACE, cut_advice, repaired_regions

        change, cuts = repaired_regions(view), cut_advice(view)
        cures = (Cure((change,), FREE_SPACE),) if change is not None else ()
        found = tuple(_repaired(item, cures, cuts) if item.rule in _REPAIRED else item for item in found)
    yield from found


def _repaired(item: Finding, cures: tuple[Cure, ...], cuts: dict[AddressRange, str]) -> Finding:
    span = item.ranges[0] if item.rule in _OVERLAPS and item.ranges else None
    cut = cuts.get(span) if isinstance(span, AddressRange) else None
    return item.with_cures(cures)._replace(advice=f"{cut} {_OF_XEN}" if cut else item.advice)


def tree_findings(kind: str, board: Board, memory: Memblock, linux: LinuxProfile) -> Iterator[Finding]:
    """Yield what is wrong with the layout of a tree that somebody wrote by hand."""
    yield from findings((*LAYOUT, *LAYOUT_OVERLAPS), TreeView(kind, board, memory, linux))


def host_findings(view: HostView) -> Iterator[Finding]:
    """Yield what is wrong with a tree that Xen boots with."""
    from dtanalyze.rules.boot_modules import BOOT_MODULES
    from dtanalyze.rules.command_line import COMMAND_LINE
    from dtanalyze.rules.dom0_memory import DOM0_MEMORY
    from dtanalyze.rules.dom0less import DOM0LESS
    from dtanalyze.rules.host_devices import HOST_DEVICES
    from dtanalyze.rules.host_interrupts import HOST_INTERRUPTS
    from dtanalyze.rules.host_memory import HOST_MEMORY
    from dtanalyze.rules.passthrough import PASSTHROUGH

    memory = (*HOST_MEMORY, *DOM0_MEMORY)
    yield from findings(
        (*HOST_DEVICES, *HOST_INTERRUPTS, *memory, *BOOT_MODULES, *COMMAND_LINE, *DOM0LESS, *PASSTHROUGH), view
    )

"""Where a host's RAM is taken from: what was given, what a boot log lists, or the tree's own memory nodes.

Xen lists its RAM right after it has said that it looks for an initrd. Whether a log that begins later has every line of it
can only be shown to be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.analysis.observed import is_part_of_ram, same_ram
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.profile import NEWEST, PRESETS

if TYPE_CHECKING:  # only a caller with a log needs its reader
    from dtanalyze.evidence.xen_console import XenConsole

__all__ = ["HostRam", "host_ram", "tree_ram"]

_TREE: Final = "from the tree's memory nodes"
_CUT: Final = "the log begins behind Xen's first lines"


class HostRam(NamedTuple):
    """``memory`` replaces the tree's nodes, empty where these stand; ``source`` says where the RAM is from.

    ``refused`` says why that of the log is not taken, empty where it is.
    """

    memory: tuple[AddressRange, ...] = ()
    source: str = _TREE
    refused: str = ""


def host_ram(tree: Tree, given: tuple[AddressRange, ...], console: XenConsole | None) -> HostRam:
    """Return the RAM as it was given, else as the log lists it, where nothing shows that lines are missing."""
    if given:
        # The tree's own nodes stand where they say the same: their names and places matter too.
        return HostRam(() if same_ram(tree_ram(tree), given) else given, "as given with --memory")
    return _logged(tree_ram(tree), console) if console is not None and console.ram else HostRam()


def _logged(listed: tuple[AddressRange, ...], console: XenConsole) -> HostRam:
    printed = tuple(item.value for item in console.ram)
    if same_ram(listed, printed):
        return HostRam()
    if console.begun is not None:
        return HostRam(printed, "from the boot log")
    if listed and is_part_of_ram(listed, console):
        return HostRam((), f"{_TREE}: {_CUT}, and lists a part of it")
    outside = _outside(console)
    if outside:
        return HostRam(refused=f"board's RAM: not as the log lists it: {_CUT}, and {outside} (--memory settles it)")
    return HostRam(printed, f"from the boot log: {_CUT}, and may lack some of it (--memory settles it)")


def _outside(console: XenConsole) -> str:
    """Name what the log says to lie in RAM, and what does not lie in that which it lists."""
    ram = RangeSet(item.value for item in console.ram)
    for item in console.modules:
        if list(RangeSet((item.value.range,)).difference(ram)):
            return f"MODULE {item.value.kind} (line {item.line}) lies outside"
    return ""


def tree_ram(tree: Tree) -> tuple[AddressRange, ...]:
    """Return the RAM that the tree's own memory nodes list, as Xen reads them."""
    found = boot_fdt_info(tree, PRESETS[NEWEST]).mem
    return tuple(AddressRange(bank.start, bank.size) for bank in found if bank.size and not bank.wraps)

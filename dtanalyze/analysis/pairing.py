"""Whether the evidence is of the board whose tree it is held against: said before anything else is compared."""

from __future__ import annotations

from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.analysis.host_ram import tree_ram
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError
from dtanalyze.evidence.bundle import Bundle
from dtanalyze.evidence.lines import Fact
from dtanalyze.evidence.xen_console import XenConsole
from dtanalyze.linux.proc_iomem import read_proc_iomem, system_ram
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.profile import NEWEST, PRESETS

__all__ = ["newly_reserved", "wrong_pairing"]

_PLATFORMS: Final = {
    "Allwinner ARMv8": ("allwinner,sun50i-a64", "allwinner,sun50i-h5", "allwinner,sun50i-h6"),
    "APM X-GENE STORM": ("apm,xgene-storm",),
    "Raspberry Pi 4": ("brcm,bcm2711",),
    "SEATTLE": ("amd,seattle",),
    "THUNDERX": ("cavium,thunder-88xx",),
    "Xilinx ZynqMP": ("xlnx,zynqmp",),
    "i.MX 8Q{M,XP}": ("fsl,imx8qm", "fsl,imx8qxp"),
}
"""The 64-bit ones of xen/arch/arm/platforms: their names, and which compatible of the root has them."""


def wrong_pairing(host: tuple[str, Tree] | None, guest: tuple[str, Tree] | None, bundle: Bundle) -> str:
    """Return the sentence that says what shows that two files belong to two boards, empty when nothing does."""
    for name, tree in (item for item in (host, guest) if item is not None):
        found = _by_model(name, tree, bundle)
        if found:
            return found
    if host is not None and guest is not None:
        one, other = _model(host[1]), _model(guest[1])
        if one and other and one != other:
            return f"{guest[0]} is of another board than {host[0]}: '{other}', not '{one}'"
    found = (_by_platform(host, bundle) or _by_ram(host, bundle)) if host is not None else ""
    return found or (_by_iomem(guest, bundle) if guest is not None else "")


def newly_reserved(tree: Tree, console: XenConsole) -> tuple[AddressRange, ...]:
    """Return what a log reserves that neither the tree nor a module does."""
    found = boot_fdt_info(tree, PRESETS[NEWEST]).reserved_mem
    own = [AddressRange(item.start, item.size) for item in found if item.size and not item.wraps]
    own += [item.value.range for item in console.modules]
    return tuple(RangeSet(item.value for item in console.reserved).difference(RangeSet(own)))


def _by_iomem(guest: tuple[str, Tree], bundle: Bundle) -> str:
    """No byte of the kernel's RAM is RAM in the tree that it booted with."""
    name, tree = guest
    mine = RangeSet(tree_ram(tree))
    for listed in (bundle.iomem, bundle.iomem_after):
        try:
            seen = system_ram(read_proc_iomem(listed.text)) if listed is not None else None
        except InputError:
            continue  # read without privilege, or cut: said where it is compared
        if listed is not None and seen and mine and not any(mine.touches(item) for item in seen):
            return f"{listed.name} is of another board than {name}: none of its RAM is RAM in the tree"
    return ""


def _model(tree: Tree) -> str | None:
    found = tree.root.prop("model")
    return found.string if found is not None else None


def _by_model(name: str, tree: Tree, bundle: Bundle) -> str:
    mine = _model(tree)
    if bundle.linux is None or bundle.linux[1].model is None or not mine:
        return ""
    file, console = bundle.linux
    assert console.model is not None
    if console.model.value.strip() == mine.strip():
        return ""
    return f"{file} (line {console.model.line}) is of another board than {name}: '{console.model.value}', not '{mine}'"


def _by_platform(host: tuple[str, Tree], bundle: Bundle) -> str:
    """Xen names the platform by the root's compatible; names that only forks have, and none, tell nothing."""
    name, tree = host
    said = bundle.xen[1].platform if bundle.xen is not None else None
    known = _PLATFORMS.get(said.value) if said is not None else None
    if bundle.xen is None or said is None or known is None or tree.root.is_any_of(known):
        return ""
    mine = tree.root.compatible[0] if tree.root.compatible else "nothing"
    return f"{bundle.xen[0]} (line {said.line}) is of another board than {name}: '{said.value}', and the tree is of {mine}"


def _by_ram(host: tuple[str, Tree], bundle: Bundle) -> str:
    """No byte of RAM in common: a boot loader changes sizes, and never where RAM begins."""
    name, tree = host
    mine = RangeSet(tree_ram(tree))
    if bundle.xen is None or not mine:
        return ""
    file, console = bundle.xen
    there = console.ram or _in_ram(console)
    if not there or any(mine.touches(item.value) for item in there):
        return ""
    return f"{file} (line {there[0].line}) is of another board than {name}: none of its RAM is RAM in the tree"


def _in_ram(console: XenConsole) -> tuple[Fact[AddressRange], ...]:
    """Return what is RAM of the host although no line lists it: modules, and Xen's text."""
    modules = tuple(Fact(item.value.range, item.line) for item in console.modules)
    return (*modules, console.grant_table) if console.grant_table is not None else modules

"""Whether the evidence is of the board whose tree it is held against: said before anything else is compared."""

from __future__ import annotations

from dtanalyze.address.rangeset import RangeSet
from dtanalyze.analysis.host_ram import tree_ram
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError
from dtanalyze.evidence.bundle import Bundle
from dtanalyze.linux.proc_iomem import read_proc_iomem, system_ram

__all__ = ["wrong_pairing"]


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
    found = _by_ram(host, bundle) if host is not None else ""
    return found or (_by_iomem(guest, bundle) if guest is not None else "")


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


def _by_ram(host: tuple[str, Tree], bundle: Bundle) -> str:
    """No byte of RAM in common: a boot loader changes sizes, and never where RAM begins."""
    name, tree = host
    mine = RangeSet(tree_ram(tree))
    if bundle.xen is None or not bundle.xen[1].ram or not mine:
        return ""
    file, console = bundle.xen
    if any(mine.touches(item.value) for item in console.ram):
        return ""
    return f"{file} (line {console.ram[0].line}) is of another board than {name}: none of its RAM is RAM in the tree"

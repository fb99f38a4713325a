"""Xen's own command line and dom0's: where they stand in a tree.

Mirrors boot_fdt_cmdline and boot_cmdline_find_by_kind (common/device-tree/bootinfo.c). What the words come to is
`parse_params`, which words there are `known_options`.
"""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.bootinfo import dom0_modules_of

__all__ = ["CommandLine", "dom0_command_line", "xen_bootargs", "xen_command_line"]


class CommandLine(NamedTuple):
    """A line and where it stands, in words; both empty when there is none."""

    text: str
    where: str


def xen_command_line(tree: Tree) -> CommandLine:
    """Return Xen's line: ``xen,xen-bootargs``, else ``bootargs`` when dom0's arguments stand apart."""
    chosen = tree.root.child("chosen")
    if chosen is None:
        return CommandLine("", "")
    for name in ("xen,xen-bootargs", "bootargs"):
        found = chosen.prop(name)
        if found is not None and (name != "bootargs" or _dom0_has_own_args(tree)):
            return CommandLine(found.string or "", f"{name} of /chosen")
    return CommandLine("", "")


def dom0_command_line(tree: Tree) -> CommandLine:
    """Return dom0's line: ``xen,dom0-bootargs`` outranks that of the kernel module, which outranks ``bootargs``."""
    chosen = tree.root.child("chosen")
    if chosen is None:
        return CommandLine("", "")
    own = chosen.prop("xen,dom0-bootargs")
    if own is not None:
        return CommandLine(own.string or "", "xen,dom0-bootargs of /chosen")
    module = _kernel_args(tree)
    if module is not None and module.text:
        return module
    found = chosen.prop("bootargs")
    return CommandLine(found.string or "", "bootargs of /chosen") if found is not None else CommandLine("", "")


def xen_bootargs(tree: Tree) -> str:
    """Return Xen's command line in /chosen, empty when there is none."""
    return xen_command_line(tree).text


def _dom0_has_own_args(tree: Tree) -> bool:
    chosen = tree.root.child("chosen")
    if chosen is not None and chosen.prop("xen,dom0-bootargs") is not None:
        return True
    module = _kernel_args(tree)
    return module is not None and bool(module.text)


def _kernel_args(tree: Tree) -> CommandLine | None:
    """Return the ``bootargs`` of dom0's first kernel module that has any (boot_cmdline_find_by_kind)."""
    for node, kind in dom0_modules_of(tree):
        prop = node.prop("bootargs")
        if kind == "Kernel" and prop is not None:
            return CommandLine(prop.string or "", f"bootargs of {node.path}")
    return None

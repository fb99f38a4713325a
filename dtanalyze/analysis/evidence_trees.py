"""The trees of the evidence, told apart: the board's, those that guests booted with, partial ones."""

from __future__ import annotations

from typing import NamedTuple

from dtanalyze.analysis.guest import kind_of
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import BlobError, InputError
from dtanalyze.evidence.bundle import Bundle
from dtanalyze.xen.partial_tree import PartialTree

__all__ = ["Trees", "has_modules", "partial_trees", "sorted_trees"]


class Trees(NamedTuple):
    host: tuple[str, Tree] | None
    guests: tuple[tuple[str, Tree], ...]
    partial: tuple[tuple[str, Tree], ...] = ()

    @property
    def guest(self) -> tuple[str, Tree] | None:
        """The tree that the kernel's log speaks of: dom0's, where it is there."""
        return next((item for item in self.guests if kind_of(item[1]) == "dom0"), next(iter(self.guests), None))


def sorted_trees(bundle: Bundle) -> Trees:
    """Tell the board's tree from the one that Linux booted with: the guest has a hypervisor node, or no boot modules."""
    found = []
    for name, data in bundle.trees:
        try:
            found.append((name, parse(data)))
        except BlobError as error:
            raise InputError(f"{name}: {error}") from error
    partial = tuple(item for item in found if _is_partial(item[1]))
    found = [item for item in found if not _is_partial(item[1])]
    found.sort(key=lambda item: (kind_of(item[1]) != "host", not has_modules(item[1])))
    first = found[0][1] if found else None
    # A board's own tree may hold a hypervisor node; beside the tree of a guest, the boot modules tell.
    if first is not None and (kind_of(first) == "host" or (len(found) > 1 and has_modules(first))):
        return Trees(found[0], tuple(found[1:]), partial)
    return Trees(None, tuple(found), partial)


def _is_partial(tree: Tree) -> bool:
    """Tell whether it is the content of a multiboot,device-tree module: devices to pass through, and no machine."""
    root = tree.root
    return root.child("passthrough") is not None and root.child("chosen") is None and root.child("hypervisor") is None


def partial_trees(trees: Trees) -> tuple[tuple[str, PartialTree], ...]:
    """Return the partial trees under the domains they are for: those whose node names a device-tree module, in order."""
    chosen = trees.host[1].root.child("chosen") if trees.host is not None else None
    domains = [
        node.path
        for node in chosen or ()
        if node.is_compatible("xen,domain") and any(child.is_compatible("multiboot,device-tree") for child in node.children)
    ]
    unlike = {tree.totalsize: (name, tree) for name, tree in trees.partial}
    if len(domains) != len(unlike):
        return ()
    return tuple(
        (path, PartialTree(tree, tree.totalsize, name)) for path, (name, tree) in zip(domains, unlike.values(), strict=True)
    )


def has_modules(tree: Tree) -> bool:
    """Tell whether a boot loader has put boot modules into the tree: what it hands to Xen, and nobody to Linux."""
    chosen = tree.root.child("chosen")
    return any("multiboot," in name or name.startswith("xen,linux-") for node in chosen or () for name in node.compatible)

"""The partial tree of a dom0less domain: the nodes that a ``multiboot,device-tree`` module adds, and what they assign to it.

Xen copies ``/aliases`` and ``/passthrough`` into the guest's tree; a node with ``xen,reg`` gets host addresses mapped, one
with ``xen,path`` the interrupts and the IOMMU of that host node. Mirrors domain_handle_dtb_boot_module, scan_pfdt_node,
handle_prop_pfdt and handle_passthrough_prop (common/device-tree/dom0less-build.c, up to 4.20 arch/arm/dom0less-build.c, in
4.17 arch/arm/domain_build.c). Left out: what an SMMU's registers refuse.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.devicetree.cells import CellCounts
from dtanalyze.devicetree.tree import Node, Property, Tree
from dtanalyze.devicetree.write import new_node
from dtanalyze.xen.assigned import Assigned, assigned_ranges
from dtanalyze.xen.device import Machine, iommu_add_dt_device, map_device_irqs
from dtanalyze.xen.dt_property import dt_device_is_available
from dtanalyze.xen.iommu import is_iommu

__all__ = ["Copied", "GUEST_PHANDLE_GIC", "PartialTree", "copy_partial", "highest_phandle"]

GUEST_PHANDLE_GIC: Final = 65000
_PAGE: Final = 4096
_ROOT: Final = CellCounts(2, 1)
_EINVAL, _EFAULT, _EBUSY, _EOVERFLOW = -22, -14, -16, -75
_PASSTHROUGH: Final = ("xen,reg", "xen,path", "xen,force-assign-without-iommu")


class PartialTree(NamedTuple):
    """The content of a module: the tree, its length in bytes and where it was read."""

    tree: Tree
    size: int
    name: str


class Copied(NamedTuple):
    """What becomes of a partial tree.

    ``at`` is the node in which Xen goes on writing: the root, unless a release went on after a failure and left a node
    open. ``devices`` are the host's nodes given away. ``lines`` and ``rc`` are those of a failure, ``rc`` 0 without one;
    ``ignored`` are lines of failures that the release went on after.
    """

    at: Node
    gic_phandle: int
    assigned: tuple[Assigned, ...]
    devices: tuple[Node, ...]
    lines: tuple[str, ...] = ()
    rc: int = 0
    because: str = ""
    node: Node | None = None
    ignored: tuple[str, ...] = ()


class _RefusedError(Exception):
    """A negative return code on the way out of a node."""

    def __init__(self, rc: int, lines: tuple[str, ...], because: str, node: Node) -> None:
        super().__init__(because)
        self.rc, self.lines, self.because, self.node = rc, lines, because, node


def highest_phandle(tree: Tree) -> int:
    """Return the highest phandle of a tree, 0 when it has none (fdt_find_max_phandle)."""
    found = (node.prop("phandle") or node.prop("linux,phandle") for node in tree.root)
    values = [prop.u32 for prop in found if prop is not None and prop.u32 is not None]
    return max((value for value in values if value != 0xFFFFFFFF), default=0)


def copy_partial(partial: PartialTree, root: Node, host: Tree, machine: Machine, domain: str) -> Copied:
    """Copy the partial tree below ``root`` as Xen does for ``domain`` (``d1``), and give it what the nodes name."""
    copy = _Copy(root, host, machine, domain)
    profile = machine.profile
    most = highest_phandle(partial.tree)
    if profile.partial_phandles_bounded and most + 1 >= GUEST_PHANDLE_GIC:
        because = f"a phandle of {partial.name} is {most}, and Xen numbers its own from {GUEST_PHANDLE_GIC} on"
        return copy.result(_RefusedError(_EOVERFLOW, (), because, partial.tree.root))
    try:
        for node in partial.tree.root.children:
            if node.name.lower() == "gic":
                copy.take_phandle(node)
            elif node.name.lower() in ("aliases", "passthrough"):
                copy.scan(node, _ROOT, node.name.lower() == "passthrough")
    except _RefusedError as refused:
        return copy.result(refused)
    return copy.result()


class _Copy:
    """The tree being written, by Xen's open node, and what the domain has been given."""

    def __init__(self, root: Node, host: Tree, machine: Machine, domain: str) -> None:
        self.at = root
        self.host = host
        self.machine = machine
        self.domain = domain
        self.gic_phandle = GUEST_PHANDLE_GIC
        self.assigned: list[Assigned] = []
        self.devices: list[Node] = []
        self.ignored: list[str] = []

    def result(self, refused: _RefusedError | None = None) -> Copied:
        """Return what was done up to now, with what ended it."""
        done = Copied(self.at, self.gic_phandle, tuple(self.assigned), tuple(self.devices), ignored=tuple(self.ignored))
        if refused is None:
            return done
        return done._replace(lines=refused.lines, rc=refused.rc, because=refused.because, node=refused.node)

    def take_phandle(self, node: Node) -> None:
        """The guest's GIC gets the phandle of /gic."""
        prop = node.prop("phandle") or node.prop("linux,phandle")
        phandle = (prop.u32 or 0) if prop is not None else 0
        if phandle or not self.machine.profile.partial_gic_needs_phandle:
            self.gic_phandle = phandle

    def scan(self, node: Node, counts: CellCounts, passthrough: bool) -> None:
        """scan_pfdt_node: cells come from the parent alone, 2 and 1 where it states none."""
        self.at = new_node(node.name, self.at)
        self.properties(node, counts, passthrough)
        inner = CellCounts(_u32(node, "#address-cells", _ROOT.address), _u32(node, "#size-cells", _ROOT.size))
        for child in node.children:
            try:
                self.scan(child, inner, passthrough)
            except _RefusedError as refused:
                if not self.machine.profile.partial_errors_ignored_below:
                    raise
                self.ignored.extend(refused.lines)  # and the child's node stays open: what follows lands in it
        self.at = self.at.parent or self.at

    def properties(self, node: Node, counts: CellCounts, passthrough: bool) -> None:
        """handle_prop_pfdt: copy all but what speaks to Xen, then do what that says."""
        special = _PASSTHROUGH if passthrough else ()
        self.at.properties.update({name: prop for name, prop in node.properties.items() if name not in special})
        reg, path, force = (node.prop(name) if passthrough else None for name in _PASSTHROUGH)
        if reg is not None and (path is not None or force is not None):
            self.assign(node, reg, path, counts, forced=force is not None)
        elif (path is None) != (reg is None):
            line = f"xen,reg or xen,path missing for {self.domain}"
            missing = "xen,path (or xen,force-assign-without-iommu)" if path is None else "xen,reg"
            raise _RefusedError(_EINVAL, (line,), f"{node.path} of the partial tree has no {missing}", node)

    def assign(self, node: Node, reg: Property, path: Property | None, counts: CellCounts, *, forced: bool) -> None:
        """handle_passthrough_prop."""
        failed = f"Failed to assign device to {self.domain}"
        try:
            self.map_registers(node, reg, counts)
            if path is not None:
                self.give(node, path, forced=forced)
        except _RefusedError as refused:
            raise _RefusedError(refused.rc, (*refused.lines, failed), refused.because, node) from refused

    def map_registers(self, node: Node, reg: Property, counts: CellCounts) -> None:
        if self.machine.profile.xen_reg_cells_checked and not (1 <= counts.address <= 2 and 1 <= counts.size <= 2):
            line = f"Invalid address_cells {counts.address} or size_cells {counts.size}"
            raise _RefusedError(_EINVAL, (line,), "the node above states other cells than one or two", node)
        for item in assigned_ranges(node, reg, counts):
            self.map_range(item)

    def map_range(self, item: Assigned) -> None:
        if (item.host | item.guest | item.size) % _PAGE:
            line = "DomU passthrough config has not page aligned addresses/sizes"
            because = f"xen,reg of {item.node.path}: {item.host:#x}, {item.size:#x}, {item.guest:#x}"
            raise _RefusedError(_EINVAL, (line,), because, item.node)
        if item.size and item.guest + item.size > self.machine.limit:
            line = f"Failed to map {item.host:016x} to the guest at{item.guest:016x}"
            because = f"the domain's page tables end at {self.machine.limit - 1:#x}"
            raise _RefusedError(_EFAULT, (line,), because, item.node)
        self.assigned.append(item)

    def give(self, node: Node, path: Property, *, forced: bool) -> None:
        """Give the interrupts and the IOMMU of the host's node ``path``."""
        name = path.value.partition(b"\0")[0].decode("ascii", "backslashreplace")
        device = self.host.find(name) if name.startswith("/") else None
        if device is None:
            line = f"Couldn't find node {name} in host_dt!"
            raise _RefusedError(_EINVAL, (line,), f"xen,path of {node.path} names a node that the host's tree lacks", node)
        failure = map_device_irqs(device, self.machine, self.domain, mapping=True)
        if failure is not None:
            raise _RefusedError(failure.rc, failure.lines, failure.because, node)
        refused = iommu_add_dt_device(device, self.machine)
        if refused is not None:
            raise _RefusedError(refused[0], (), refused[1], node)
        self.protect(node, device, forced=forced)
        self.devices.append(device)

    def protect(self, node: Node, device: Node, *, forced: bool) -> None:
        """iommu_assign_dt_device: a device behind no IOMMU is given only when ``xen,force-assign-without-iommu`` says so."""
        protected = self.machine.iommu and self.is_protected(device)
        if not protected and not forced:
            why = "Xen uses no IOMMU" if not self.machine.iommu else f"{device.path} is behind none that Xen drives"
            raise _RefusedError(_EINVAL, (), f"{why}, and xen,force-assign-without-iommu is not set", node)
        if protected and (device.prop("xen,passthrough") is None or device in self.devices):
            raise _RefusedError(_EBUSY, (), f"{device.path} has another owner (dom0's without xen,passthrough)", node)

    def is_protected(self, device: Node) -> bool:
        if device in self.machine.masters:
            return True
        prop = device.prop("iommus")
        target = self.machine.phandles.node(prop.cells[0]) if prop is not None and prop.cells else None
        return target is not None and dt_device_is_available(target) and is_iommu(target, self.machine.profile)


def _u32(node: Node, name: str, default: int) -> int:
    prop = node.prop(name)
    return prop.cells[0] if prop is not None and prop.cells else default

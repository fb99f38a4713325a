"""The nodes that Xen writes into every domain's tree.

Mirrors make_hypervisor_node, make_memory_node, make_cpus_node, make_timer_node and make_psci_node
(arch/arm/domain_build.c). ``with_memory`` and
``with_command_line`` are the boot loader's part: RAM and Xen's line filled in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from dtanalyze.address.range import AddressRange, RawRange
from dtanalyze.address.units import GIB
from dtanalyze.board.cpus import cpu_nodes
from dtanalyze.devicetree.cells import MAX_ADDR_CELLS, CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob
from dtanalyze.errors import UsageError

__all__ = [
    "GIC_PHANDLE",
    "GUEST_TIMER",
    "LEVEL_HIGH",
    "LEVEL_LOW",
    "PSCI",
    "cpus_failure",
    "cpus_node",
    "hypervisor_node",
    "memory_node",
    "reg_of",
    "release_of",
    "timer_node",
    "with_command_line",
    "with_memory",
]

_MASTER: Final = "4.23"
GIC_PHANDLE: Final = 65000
GUEST_TIMER: Final = (29, 30, 27)
"""A guest's timer: secure, non-secure and virtual."""
LEVEL_LOW: Final = 8
LEVEL_HIGH: Final = 4
PSCI: Final[dict[str, bytes]] = {
    "compatible": strings("arm,psci-1.0", "arm,psci-0.2", "arm,psci"),
    "method": strings("hvc"),
    "cpu_off": cells((1,)),
    "cpu_on": cells((2,)),
}


def with_memory(tree: Tree, ranges: Iterable[AddressRange]) -> bytes:
    """Return the tree with its memory nodes replaced by one node for each of ``ranges``, as a boot loader fills them.

    They stand where the first one stood, else before all others, where libfdt puts a node that it adds: a scan that ends
    early (Xen 4.18) sees RAM or not by that.
    """
    counts = inherited_cells(tree.root, CellCounts(2, 1))
    old = [node.base_name == "memory" or node.device_type == "memory" for node in tree.root.children]
    gone = {id(node) for node, is_memory in zip(tree.root.children, old, strict=True) if is_memory}
    root = copy_node(tree.root, None, lambda node: id(node) not in gone)
    at = old.index(True) if True in old else 0
    fitting = [piece for item in sorted(ranges) for piece in _pieces(item, counts)]
    made = [memory_node(f"memory@{item.start:x}", (item,), counts, root) for item in fitting]
    kept = root.children[: len(root.children) - len(made)]
    root.children[:] = kept[:at] + made + kept[at:]
    return to_blob(root, [raw for raw, _ in tree.reservations], tree.boot_cpuid)


def with_command_line(tree: Tree, line: str) -> bytes:
    """Return the tree with another command line for Xen, as a boot loader writes it into /chosen."""
    root = copy_node(tree.root, None)
    chosen = root.child("chosen") or new_node("chosen", root)
    set_property(chosen, "xen,xen-bootargs", line.encode("utf-8", "surrogateescape") + b"\0")
    return to_blob(root, [raw for raw, _ in tree.reservations], tree.boot_cpuid)


def _pieces(item: AddressRange, counts: CellCounts) -> Iterator[AddressRange]:
    """Cut RAM into what one entry can say; raise `UsageError` where the root's cells cannot say it."""
    if not (counts.address <= MAX_ADDR_CELLS and 1 <= counts.size <= MAX_ADDR_CELLS) or item.last >> 32 * counts.address:
        raise UsageError(
            f"RAM at {item.start:#x}-{item.last:#x} cannot be said in this tree: its root has #address-cells "
            f"{counts.address} and #size-cells {counts.size}"
        )
    most = item.size if counts.size > 1 else 2 * GIB
    for start in range(item.start, item.stop, most):
        yield AddressRange.spanning(start, min(start + most, item.stop))


def _number(value: int, count: int) -> tuple[int, ...]:
    """Return ``value`` in ``count`` cells; with one cell it is silently cut to 32 bits, as dt_set_cell does."""
    return tuple(value >> 32 * (count - 1 - place) & 0xFFFFFFFF for place in range(count))


def reg_of(ranges: Iterable[AddressRange | RawRange], counts: CellCounts) -> bytes:
    """Return a ``reg`` property."""
    return cells(
        cell for item in ranges for cell in (*_number(item.start, counts.address), *_number(item.size, counts.size))
    )


def memory_node(name: str, ranges: Sequence[AddressRange | RawRange], counts: CellCounts, parent: Node) -> Node:
    """Write a memory node over ``ranges``."""
    return new_node(name, parent, {"device_type": strings("memory"), "reg": reg_of(ranges, counts)})


def hypervisor_node(
    parent: Node, release: str, ranges: Sequence[AddressRange], counts: CellCounts, gic_phandle: int, ppi: int
) -> None:
    """Write /hypervisor: the grant table, the regions, the event channel's PPI."""
    node = new_node("hypervisor", parent)
    set_property(node, "compatible", strings(f"xen,xen-{release}", "xen,xen"))
    set_property(node, "reg", reg_of(ranges, counts))
    set_property(node, "interrupts", _ppi(ppi))
    set_property(node, "interrupt-parent", cells((gic_phandle,)))


def release_of(name: str) -> str:
    """Return the version as the hypervisor node spells it: major and minor; master's is that of the release to come."""
    return ".".join(name.split(".")[:2]) if name[0].isdigit() else _MASTER


def _interrupt(number: int) -> bytes:
    """Return the specifier of a PPI (from 16) or SPI (from 32), active low, for all CPUs (set_interrupt)."""
    kind, base = (1, 16) if number < 32 else (0, 32)
    return cells((kind, number - base, 0xF << 8 | LEVEL_LOW))


def _ppi(number: int) -> bytes:
    return _interrupt(16 + number)


def timer_node(parent: Node, gic_phandle: int, host: Node | None = None, irqs: Sequence[int] = GUEST_TIMER) -> None:
    """Write the architected timer: secure, non-secure and virtual; dom0's has those of the ``host``'s, and the frequency
    that it states."""
    node = new_node("timer", parent, {"compatible": strings("arm,armv8-timer")})
    set_property(node, "interrupts", b"".join(_interrupt(irq) for irq in irqs))
    set_property(node, "interrupt-parent", cells((gic_phandle,)))
    clock = host.prop("clock-frequency") if host is not None else None
    if clock is not None and clock.cells:
        set_property(node, "clock-frequency", cells(clock.cells[:1]))


def cpus_node(root: Node, tree: Tree, count: int) -> None:
    """Write /cpus with ``count`` CPUs, each as the host's first one, 16 of them to a cluster (vcpuid_to_vaffinity)."""
    host = next(iter(cpu_nodes(tree)), None)
    compatible = host.prop("compatible") if host else None
    clock = host.prop("clock-frequency") if host else None
    cpus = new_node("cpus", root)
    set_property(cpus, "#address-cells", cells((1,)))
    set_property(cpus, "#size-cells", cells((0,)))
    for cpu in range(count):
        affinity = (cpu >> 4) << 8 | cpu & 0xF
        node = new_node(f"cpu@{affinity:x}", cpus)
        if compatible is not None:
            set_property(node, "compatible", compatible.value)
        set_property(node, "device_type", strings("cpu"))
        set_property(node, "reg", cells((affinity,)))
        if clock is not None and clock.cells:
            set_property(node, "clock-frequency", cells(clock.cells[:1]))
        set_property(node, "enable-method", strings("psci"))


def cpus_failure(tree: Tree) -> str | None:
    """Return why make_cpus_node finds no CPU to describe (-ENOENT), None when it does."""
    if tree.root.child("cpus") is None:
        return "the host's tree has no /cpus"
    host = next((node for node in cpu_nodes(tree) if node.device_type == "cpu"), None)
    if host is None or host.prop("compatible") is None:
        return 'no CPU of the host has device_type = "cpu" and a compatible'
    return None

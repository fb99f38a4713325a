"""Giving a device of the host's tree to a domain: its IOMMU, its interrupts, its registers, a PCI host's windows.

Mirrors handle_device, map_device_irqs_to_domain, map_range_to_domain and map_device_children (arch/arm/device.c, up to 4.17
arch/arm/domain_build.c) and iommu_add_dt_device (drivers/passthrough/device_tree.c). What Xen maps are addresses that the
tree names, whatever lies there. Left out: what only the hardware knows (stream matching, context banks of an SMMU), SCMI.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.board.build import pci_windows
from dtanalyze.board.bus import XEN
from dtanalyze.board.interrupts import Phandles
from dtanalyze.board.translate import Translated, Untranslatable, reg_entries
from dtanalyze.devicetree.cells import MAX_ADDR_CELLS
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.drivers import IOMMUS, driver_symbol
from dtanalyze.xen.dt_irq import GicIrq
from dtanalyze.xen.dt_property import dt_device_is_available
from dtanalyze.xen.iommu import is_iommu
from dtanalyze.xen.irq import FIRST_SPI, NR_IRQS, Irqs
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.rangeset import NullDereferenceError, Rangeset

__all__ = [
    "Failure",
    "Machine",
    "handle_device",
    "iommu_add_dt_device",
    "iommus_of",
    "map_device_irqs",
    "mapped_pages",
    "p2m_limit",
]

_MASK64: Final = (1 << 64) - 1
_PAGE: Final = 4096
_EINVAL, _ENODEV, _ENXIO, _ERANGE = -22, -19, -6, -34
_DATA_ABORT: Final = "CPU0: Unexpected Trap: Data Abort"
_ROOT_TABLES: Final = {32: 39, 36: 39, 40: 40, 42: 42, 44: 48, 48: 48, 52: 52}
"""pa_range_info: the addresses that the page tables' root can hold, in bits, by the width of guest addresses."""


class Failure(NamedTuple):
    """What would stop a domain's construction at one node: Xen's lines, the code it returns, and the cause in our words.

    ``kind`` is ``iommu``, ``trigger-type``, ``shared-interrupt``, ``interrupt``, ``address``, ``window``, ``width``,
    ``gic``, ``crash`` (its line is all that Xen says) or, at the root, ``cells``.
    """

    kind: str
    node: Node
    lines: tuple[str, ...]
    rc: int
    because: str = ""

    @property
    def text(self) -> str:
        """The lines, then the cause."""
        said = "; ".join(self.lines)
        return f"{said} ({self.because})" if said and self.because else said or self.because


class Machine(NamedTuple):
    """What devices are mapped with. ``iommus`` are those that Xen uses; ``limit`` is the first address beyond the P2M.

    ``iomem`` are the page frames that dom0 may map so far (iomem_caps), ``masters`` devices that an SMMU names itself (the
    old binding).
    """

    profile: XenProfile
    phandles: Phandles
    irqs: Irqs
    iommus: tuple[Node, ...]
    limit: int
    iomem: Rangeset
    masters: tuple[Node, ...] = ()

    @property
    def iommu(self) -> bool:
        """Whether Xen uses an IOMMU."""
        return bool(self.iommus)


def p2m_limit(ipa_bits: int) -> int:
    """Return the first address that no page table of a domain can hold (setup_virt_paging, p2m_get_root_pointer)."""
    return 1 << _ROOT_TABLES.get(ipa_bits, max(ipa_bits, 39))


def handle_device(dev: Node, machine: Machine, domain: str = "d0") -> Failure | None:
    """Give the device to the hardware domain; one that is marked for pass-through keeps only its interrupts' types."""
    own = dev.prop("xen,passthrough") is None
    failure = _added_to_iommu(dev, machine) if own else None
    failure = failure or map_device_irqs(dev, machine, domain, mapping=own)
    failure = failure or next(_unmapped_registers(dev, machine, domain, own), None)
    if failure is None and dev.device_type == "pci":
        failure = next(_unmapped_children(dev, machine, domain, own), None)
    return failure


def mapped_pages(dev: Node) -> Iterator[tuple[int, int]]:
    """Yield what handle_device maps 1:1 into the hardware domain: first and last address (exclusive), in whole pages.

    What lies there already is replaced, RAM too (map_range_to_domain, map_regions_p2mt).
    """
    if dev.prop("xen,passthrough") is not None:
        return
    for entry in (*reg_entries(dev, XEN), *(pci_windows(dev, XEN) if dev.device_type == "pci" else ())):
        if isinstance(entry.where, Translated) and entry.size:
            first = entry.where.address // _PAGE * _PAGE
            yield first, first + _whole_pages(entry.size)


def _whole_pages(size: int) -> int:
    """Return the bytes of the pages that ``size`` bytes take (PFN_UP, whose sum wraps: the largest sizes take none)."""
    return (size + _PAGE - 1 & _MASK64) // _PAGE * _PAGE


def _added_to_iommu(dev: Node, machine: Machine) -> Failure | None:
    refused = iommu_add_dt_device(dev, machine)
    if refused is None:
        return None
    return Failure("iommu", dev, (f"Failed to add {dev.path} to the IOMMU",), *refused)


def iommu_add_dt_device(dev: Node, machine: Machine) -> tuple[int, str] | None:
    """Return why the device cannot be put behind the IOMMUs that its ``iommus`` names: Xen's code and the cause.

    A master of an IOMMU that is disabled is left as it is; one of an available IOMMU that Xen has no driver for is refused.
    """
    masters = list(iommus_of(dev, machine.phandles)) if machine.iommu and dev not in machine.masters else []
    added: Node | None = None
    for target in masters:
        if not dt_device_is_available(target):
            if machine.profile.disabled_iommu_ends_it:
                return None
            break
        if added is not None and target is not added:
            return _EINVAL, f"its iommus name two IOMMUs, {added.path} and {target.path}"
        added = target
    if added is None:
        return None
    in_use = driver_symbol(machine.iommus[0], IOMMUS, machine.profile)
    rc = _ENXIO if in_use == "ARM_SMMU" else _ENODEV
    if not is_iommu(added, machine.profile):
        return rc, f"its iommus names {added.path}, an available IOMMU that this Xen has no driver for"
    if added not in machine.iommus:
        return rc, f"its iommus names {added.path}, which Xen could not set up"
    if driver_symbol(added, IOMMUS, machine.profile) != in_use:
        return rc, f"its iommus names {added.path}, and Xen drives IOMMUs of one kind: that of {machine.iommus[0].path}"
    return None


def iommus_of(dev: Node, phandles: Phandles) -> Iterator[Node]:
    """Yield the targets of ``iommus`` up to the first entry that cannot be read (dt_parse_phandle_with_args)."""
    prop = dev.prop("iommus")
    cells, at = (prop.cells if prop else ()), 0
    while at < len(cells):
        target = phandles.node(cells[at])
        width = target.prop("#iommu-cells") if target else None
        if target is None or width is None or not width.cells or at + 1 + width.cells[0] > len(cells):
            return
        yield target
        at += 1 + width.cells[0]


def map_device_irqs(dev: Node, machine: Machine, domain: str, *, mapping: bool) -> Failure | None:
    """Give the node's interrupts at the GIC to a domain, in order; those of other controllers mean nothing to Xen."""
    irqs = machine.irqs
    # handle_node has asked for each before any is mapped.
    beyond = next((found for raw in irqs.dt.raw_irqs(dev) if (found := irqs.dt.gic_irq(raw)) and found.irq >= NR_IRQS), None)
    if beyond is not None:
        return _beyond_descriptors(dev, beyond.irq)
    for number, raw in enumerate(irqs.dt.raw_irqs(dev)):
        if raw is None:
            line = f"Unable to retrieve irq {number} for {dev.path}"
            return Failure("interrupt", dev, (line,), _EINVAL, "it leads to no interrupt controller")
        if raw.controller is not irqs.dt.gic:
            continue
        found = irqs.get(raw, dev.path)
        if found is None:
            return _wrong_type(dev, number, irqs.dt.gic_irq(raw), irqs)
        refused = irqs.map_to_domain(found.irq, domain, dev) if mapping else None
        if refused is not None:
            kind = "shared-interrupt" if refused.rc == -16 else "interrupt"
            return Failure(kind, dev, refused.lines, refused.rc, refused.because)
    return None


def _beyond_descriptors(dev: Node, irq: int) -> Failure:
    """It reads what lies behind their table: mostly nothing; nearer to it, some other variable for a trigger type."""
    because = (
        f"interrupt {irq} of {dev.path} is beyond the {NR_IRQS} that Xen has a descriptor for: it reads past their table, "
        f"and where it does not crash it says that it is unable to get the interrupt"
    )
    return Failure("crash", dev, (_DATA_ABORT,), _EINVAL, because)


def _wrong_type(dev: Node, number: int, wanted: GicIrq | None, irqs: Irqs) -> Failure:
    line = f"Unable to get irq {number} for {dev.path}"
    if wanted is None:
        return Failure("interrupt", dev, (line,), -1, "its specifier has fewer than three cells")
    because = f"interrupt {wanted.irq} has another trigger type already, from {irqs.first_asker(wanted.irq)}"
    return Failure("trigger-type", dev, (line,), -1, because)


def _unmapped_registers(dev: Node, machine: Machine, domain: str, own: bool) -> Iterator[Failure]:
    for entry in reg_entries(dev, XEN):
        if isinstance(entry.where, Untranslatable):
            lines = (*_said(entry.where, dev), f"Unable to retrieve address {entry.nth} for {dev.path}")
            yield Failure("address", dev, lines, _EINVAL, entry.where.reason)
        else:
            yield from _unmapped(dev, machine, domain, own, entry.where.address, entry.size)


def _said(where: Untranslatable, dev: Node) -> tuple[str, ...]:
    """Return what __dt_translate_address prints: only about nodes that are no bus."""
    at: Node | None = dev
    while at is not None and at.path != where.node:
        at = at.parent
    return (f"DT: {where.node} is not a valid bus",) if at is not None and XEN.bus_of(at) is None else ()


def _unmapped(dev: Node, machine: Machine, domain: str, own: bool, address: int, size: int) -> Iterator[Failure]:
    """map_range_to_domain."""
    if machine.profile.pci_range_checked and _MASK64 - address < size:
        # The line has no line feed: the next one is appended to it.
        stop = (address + size) & _MASK64
        line = f"{dev.path}: [{address:#x}, {stop:#x}] exceeds the maximum allowed PA width (48 bits)"
        yield Failure("window", dev, (line,), _ERANGE, "the range has no address, or runs past the end of the address space")
    crash = _not_permitted(dev, machine, address, size)
    if crash is not None:
        yield crash
    first = address // _PAGE
    if own and size and first * _PAGE + _whole_pages(size) > machine.limit:
        stop = (address + size + _PAGE - 1) & ~(_PAGE - 1) & _MASK64
        line = f"Unable to map {address & ~(_PAGE - 1):#x} - {(stop - 1) & _MASK64:#x} in domain {domain.removeprefix('d')}"
        because = f"dom0's page tables end at {machine.limit - 1:#x}"
        yield Failure("width", dev, (line,), _EINVAL, because)


def _not_permitted(dev: Node, machine: Machine, address: int, size: int) -> Failure | None:
    """iomem_permit_access: a range that wraps is added to the set as one that ends before it starts."""
    if dev.path.lower().startswith("/reserved-memory/"):
        return None
    last = ((address + size - 1) + _PAGE - 1 & _MASK64) // _PAGE
    try:
        machine.iomem.add_range(address // _PAGE, last)
    except NullDereferenceError:
        because = f"{dev.path} [{address:#x}, {size:#x} bytes] runs past the end of the address space"
        return Failure("crash", dev, (_DATA_ABORT,), _EINVAL, because)
    except ValueError:
        pass  # such a range is kept as it is, and is of no effect on others
    return None


def _unmapped_children(dev: Node, machine: Machine, domain: str, own: bool) -> Iterator[Failure]:
    """map_device_children: the interrupts and windows of a PCI host."""
    for found in machine.irqs.dt.irq_map(dev):
        failure = _mapped_line(dev, machine, domain, own, found)
        if failure is not None:
            yield failure
    yield from _windows_failure(dev)
    for window in pci_windows(dev, XEN):
        where = window.where
        address = where.address if isinstance(where, Translated) else _MASK64
        said = _said(where, dev) if isinstance(where, Untranslatable) else ()
        for item in _unmapped(dev, machine, domain, own, address, window.size):
            because = where.reason if isinstance(where, Untranslatable) else item.because
            yield item._replace(lines=(*said, *item.lines), because=because)


def _mapped_line(dev: Node, machine: Machine, domain: str, own: bool, found: GicIrq | None) -> Failure | None:
    """map_dt_irq_to_domain, for one line of an interrupt-map."""
    if found is None:
        return Failure("interrupt", dev, (), _EINVAL, f"the interrupt-map of {dev.path} does not resolve")
    if found.irq < FIRST_SPI:
        return Failure("interrupt", dev, (f"{dev.base_name}: IRQ{found.irq} is not a SPI",), _EINVAL)
    if found.irq >= NR_IRQS:
        return _beyond_descriptors(dev, found.irq)
    if not machine.irqs.set_type(found, dev.path):
        called = domain if machine.profile.domains_called_d else f"dom{domain.removeprefix('d')}"
        because = f"interrupt {found.irq} has another trigger type already, from {machine.irqs.first_asker(found.irq)}"
        return Failure("trigger-type", dev, (f"{dev.base_name}: Unable to setup IRQ{found.irq} to {called}",), -16, because)
    refused = machine.irqs.map_to_domain(found.irq, domain, dev) if own else None
    if refused is None or machine.profile.interrupt_map_failure_ignored:
        return None
    kind = "shared-interrupt" if refused.rc == -16 else "interrupt"
    return Failure(kind, dev, refused.lines, refused.rc, refused.because)


def _windows_failure(dev: Node) -> Iterator[Failure]:
    """dt_for_each_range, as far as the bus itself is in the way."""
    ranges, parent = dev.prop("ranges"), dev.parent
    if ranges is None:
        yield Failure("window", dev, (f"DT: no ranges; cannot enumerate {dev.path}",), _EINVAL, "a PCI host without ranges")
        return
    bus = XEN.bus_of(parent) if parent is not None else None
    if not ranges.value or parent is None:
        return
    if bus is None:
        line = f"DT: {parent.path} is not a valid bus"
        yield Failure("window", dev, (line,), _EINVAL, f"{dev.path} lies below {parent.path}, which has no ranges")
        return
    counts = XEN.counts(bus, parent)
    if not (1 <= counts.address <= MAX_ADDR_CELLS and counts.size):
        line = f"dt_parse: Bad cell count for parent {dev.path}"
        yield Failure("window", dev, (line,), _EINVAL, f"#address-cells {counts.address}, #size-cells {counts.size}")

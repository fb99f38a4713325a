"""The interrupt controller: which node it is, and what Xen demands of it.

Mirrors intc_dt_preinit (common/device-tree/intc.c; gic_dt_preinit in arch/arm/gic.c up to 4.19), gicv2_dt_init with
gicv2_extension_dt_init (arch/arm/gic-v2.c) and gicv3_dt_init (arch/arm/gic-v3.c). Left out: what the hardware answers
(its version, its aliased pages, how many interrupts it has).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from dtanalyze.address.units import KIB
from dtanalyze.board.bus import XEN
from dtanalyze.board.translate import RegEntry, Translated, reg_entries
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.build import Build
from dtanalyze.xen.dt_property import dt_device_is_available
from dtanalyze.xen.irq import Asked
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import DATA_ABORT, Open, Outcome, Passed, Stop
from dtanalyze.xen.vgic import can_be_primary
from dtanalyze.xen.vmap import fits_into_vmap

__all__ = ["find_controller", "gic_init", "gic_preinit", "is_gicv3"]

_STAGE: Final = "interrupt-controller"
_GICV2: Final = ("arm,cortex-a15-gic", "arm,cortex-a7-gic", "arm,gic-400")
_GICV3: Final = ("arm,gic-v3",)
_PAGE: Final = 4 * KIB
_GICC: Final = 8 * KIB
_STRIDE_64K: Final = 128 * KIB
_QEMU_GICV2: Final = 64 * KIB
_QUIRK_64K: Final = "apm,xgene-storm"
"""The platform whose GIC has pages 64 KiB apart (PLATFORM_QUIRK_GIC_64K_STRIDE)."""
_SGI_FRAME: Final = 64 * KIB
"""Where a redistributor's second frame begins (SGI_base)."""
_V2M_SPIS: Final = range(32, 1020)


class _Problem(NamedTuple):
    """Xen's line, and the cause in our words."""

    line: str
    because: str


def is_gicv3(node: Node) -> bool:
    """Tell whether the controller is a GICv3 or newer."""
    return node.is_any_of(_GICV3)


def find_controller(tree: Tree, build: Build) -> Node | None:
    """Return the interrupt controller that Xen drives: the first in the tree that can be one."""
    names = (_GICV2 if build.has("GICV2") else ()) + (_GICV3 if build.has("GICV3") else ())
    return next((node for node in tree.root if can_be_primary(node) and node.is_any_of(names)), None)


def gic_preinit(tree: Tree, profile: XenProfile, build: Build) -> Outcome:
    """Look for the controller; without one Xen panics before its console is up."""
    node = find_controller(tree, build)
    if node is not None:
        return Passed((f"{node.path} ({'GICv3' if is_gicv3(node) else 'GICv2'})",))
    others = [node for node in tree.root if node.prop("interrupt-controller") is not None]
    others.sort(key=lambda node: node.base_name not in ("interrupt-controller", "gic", "intc"))  # rather than GPIOs
    near = next((node for node in others if node.is_any_of(_GICV2 + _GICV3)), None)
    return Stop(_STAGE, (profile.no_interrupt_controller,), _why_none(near, others, build), _path(near, others), silent=True)


def _why_none(near: Node | None, others: list[Node], build: Build) -> str:
    if near is not None and not dt_device_is_available(near):
        return f"{near.path} is not enabled"
    if near is not None and near.prop("xen,passthrough") is not None:
        return f"{near.path} is to be passed through"
    if near is not None:
        return f"{near.path} needs a driver that {build.name} lacks"
    names = ", ".join(f"{node.path} ({node.compatible[0]})" for node in others[:3] if node.compatible)
    found = f"the tree has {names}" if names else "the tree has no interrupt controller at all"
    return f"Xen drives {', '.join(_GICV2 + _GICV3)}, and {found}"


def _path(near: Node | None, others: list[Node]) -> str | None:
    found = near or next(iter(others), None)
    return found.path if found else None


def gic_init(tree: Tree, build: Build, maintenance: Asked) -> Outcome:
    """Check the registers of the controller, and that it gets its ``maintenance`` interrupt."""
    node = find_controller(tree, build)
    if node is None:
        return Passed()
    entries = tuple(reg_entries(node, XEN))
    if _of_an_emulator(node, entries):
        because = (
            f"{node.path} is as QEMU describes it to a machine without EL2, where Xen does not start at all; started with "
            "virtualization=on QEMU adds the hypervisor's registers itself"
        )
        return Open(because, "a tree dumped with virtualization=on")
    problem = _gicv3(node, entries, maintenance) if is_gicv3(node) else _gicv2(tree, node, entries, maintenance)
    if problem is not None:
        return Stop(_STAGE, (problem.line,), f"{node.path}: {problem.because}", node.path)
    return Passed((f"{len(entries)} registers of {node.path}",))


def _of_an_emulator(node: Node, entries: tuple[RegEntry, ...]) -> bool:
    """Tell a GICv2 of QEMU's virt machine (hw/arm/virt.c): two registers of 64 KiB and no maintenance interrupt.

    Hardware has 4 and 8 KiB there, and its trees are not written anew at each start.
    """
    sizes = [entry.size for entry in entries]
    return node.is_compatible("arm,cortex-a15-gic") and sizes == [_QEMU_GICV2] * 2 and node.prop("interrupts") is None


def _gicv2(tree: Tree, node: Node, entries: tuple[RegEntry, ...], maintenance: Asked) -> _Problem | None:
    for index, what in enumerate(("distributor", "CPU", "hypervisor", "virtual CPU")):
        if not _has(entries, index):
            line = f"GICv2: Cannot find a valid address for the {what}"
            return _Problem(line, _no_entry(entries, index, "a GICv2 that can virtualise names four registers"))
    if maintenance.irq is None:
        return _Problem("GICv2: Cannot find the maintenance IRQ", maintenance.because)
    return _sizes(tree, entries) or _v2m(node) or _unaligned(entries) or _too_large(entries)


def _sizes(tree: Tree, entries: tuple[RegEntry, ...]) -> _Problem | None:
    """The CPU interface is taken to have 8 KiB at least, and the virtual one has to be as large."""
    cpu, virtual = entries[1].size, entries[3].size
    if cpu < _GICC:
        cpu = _GICC
        if tree.root.is_compatible(_QUIRK_64K):
            cpu = virtual = _STRIDE_64K
    if cpu == virtual:
        return None
    line = f"GICv2: Sizes of GICC ({cpu:#016x}) and GICV ({virtual:#016x}) don't match"
    return _Problem(line, f"reg[1] counts as {cpu:#x} bytes, reg[3] has {virtual:#x}")


def _v2m(node: Node) -> _Problem | None:
    """Frames for MSIs: where the tree states their interrupts, they have to be SPIs; else the hardware says."""
    for frame in (child for child in node.children if child.is_compatible("arm,gic-v2m-frame")):
        if not _has(tuple(reg_entries(frame, XEN)), 0):
            return _Problem("GICv2: Cannot find a valid v2m frame address", f"{frame.path} has no address")
        base, count = (_u32(frame, f"arm,msi-{name}") for name in ("base-spi", "num-spis"))
        if not base or not count:
            if not fits_into_vmap(next(iter(reg_entries(frame, XEN))).size):
                return _Problem("GICv2: Cannot remap v2m register frame", f"reg of {frame.path} is too large to be mapped")
            continue
        if base < _V2M_SPIS.start:
            return _Problem(f"GICv2: Invalid v2m base SPI:{base}", f"arm,msi-base-spi of {frame.path} is below 32")
        if base + count > _V2M_SPIS.stop - 1:
            most = _V2M_SPIS.stop - _V2M_SPIS.start
            line = f"GICv2: Number of v2m SPIs ({count}) exceed maximum ({most})"
            return _Problem(line, f"arm,msi-num-spis of {frame.path} reaches beyond the last SPI")
    return None


def _too_large(entries: tuple[RegEntry, ...]) -> _Problem | None:
    if fits_into_vmap(entries[1].size):
        return None
    return _Problem("GICv2: Failed to ioremap for GIC CPU interface", f"reg[1] has {entries[1].size:#x} bytes")


def _unaligned(entries: tuple[RegEntry, ...]) -> _Problem | None:
    for nth, entry in enumerate(entries[:4]):
        if (entry.address or 0) % _PAGE:
            return _Problem("GICv2 interfaces not page aligned", f"reg[{nth}] is at {entry.address or 0:#x}")
    return None


def _gicv3(node: Node, entries: tuple[RegEntry, ...], maintenance: Asked) -> _Problem | None:
    if not _has(entries, 0):
        return _Problem("GICv3: Cannot find a valid distributor address", _no_entry(entries, 0, ""))
    base = entries[0].address or 0
    if base % _PAGE:
        return _Problem(f"GICv3:  Found unaligned distributor address {base:016x}", "reg[0] is not page aligned")
    stated = _u32(node, "#redistributor-regions")
    for region in range(min(1 if stated is None else stated, len(entries) + 1)):
        if not _has(entries, 1 + region):
            because = _no_entry(entries, 1 + region, "#redistributor-regions counts them")
            return _Problem(f"GICv3: No rdist base found for region {region}", because)
    if maintenance.irq is None:
        return _Problem("GICv3: Cannot find the maintenance IRQ", maintenance.because)
    if stated == 0:
        return _Problem("Failed to initialize the GIC drivers", "#redistributor-regions is 0: no CPU has a redistributor")
    return _redistributors(tuple(entry.size for entry in entries[1 : 1 + (stated or 1)]))


def _redistributors(sizes: tuple[int, ...]) -> _Problem | None:
    """Each region is mapped whole; a page of both frames of the first CPU is read, in whichever region it lies."""
    for region, size in enumerate(sizes):
        if not fits_into_vmap(size, sizes[:region]):
            line = f"GICv3: Failed to ioremap rdist region for region {region}"
            return _Problem(line, f"reg[{1 + region}] has {size:#x} bytes")
    if len(sizes) == 1 and sizes[0] <= _SGI_FRAME:
        return _Problem(DATA_ABORT, f"reg[1] has {sizes[0]:#x} bytes, and a redistributor has two frames of 64 KiB")
    return None


def _no_entry(entries: tuple[RegEntry, ...], index: int, why: str) -> str:
    if index < len(entries):
        return f"reg[{index}] cannot be translated to an address of the CPU"
    return f"reg has {len(entries)} entries" + (f", and {why}" if why else "")


def _has(entries: tuple[RegEntry, ...], index: int) -> bool:
    return index < len(entries) and isinstance(entries[index].where, Translated)


def _u32(node: Node, name: str) -> int | None:
    prop = node.prop(name)
    return prop.u32 if prop else None

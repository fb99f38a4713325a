"""dom0's kernel: which module it is, and whether it fits into dom0's RAM.

Mirrors kernel_probe, kernel_zimage_place and place_modules (arch/arm/kernel.c; from 4.21 common/device-tree/kernel.c). Left
out: what the image says of itself. It is taken for a raw arm64 Image, which is placed where RAM begins; one that is
compressed needs more room than its module has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, format_size
from dtanalyze.xen.bootinfo import BankType, BootInfo, Module
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import DATA_ABORT, Open, Outcome, Passed, Stop
from dtanalyze.xen.vmap import fits_into_vmap

__all__ = [
    "Mapped",
    "copied_into_a_hole",
    "dom0_kernel",
    "dom0_modules",
    "dom0_ramdisk",
    "kernel_probe",
    "onto_a_device",
    "place_modules",
    "read_from_nowhere",
    "unmapped",
]

_PAGE: Final = 4096
_ALIGN: Final = 2 * MIB
_MODULES_AT: Final = 128 * MIB
"""Tree and ramdisk are put so far into RAM, when there is room."""


class Mapped(NamedTuple):
    """What is mapped into dom0 for a node: addresses, ``stop`` exclusive, whole pages."""

    start: int
    stop: int
    node: str


def dom0_kernel(info: BootInfo) -> Module | None:
    """Return the first kernel module that is not a domU's (boot_module_find_by_kind)."""
    return _first(info, "Kernel")


def dom0_ramdisk(info: BootInfo) -> Module | None:
    """Return the first ramdisk module that is not a domU's."""
    return _first(info, "Ramdisk")


def _first(info: BootInfo, kind: str) -> Module | None:
    return next((item for item in info.modules if item.kind == kind and not item.domu), None)


def kernel_probe(
    info: BootInfo, profile: XenProfile, unseen: Sequence[str] = (), *, more_ram: bool = False
) -> Outcome:
    """Look for dom0's kernel; a tree without any module is one that a boot loader has yet to fill in.

    ``unseen`` are modules of the tree past the node at which the scan ended without a word. ``more_ram`` takes it that there
    is RAM behind addresses that the tree does not list as such.
    """
    kernel = dom0_kernel(info)
    if kernel is not None and kernel.size:
        saw = (f"kernel {kernel.node or 'as the log says'}, {format_size(kernel.size)}",)
        return read_from_nowhere(info, kernel, "modules", more_ram=more_ram) or Passed(saw)
    listed = [item.node for item in info.modules if item.node] + list(info.dropped)
    if not listed and not unseen:
        return Open("no module in /chosen: a boot loader adds them")
    lines = ("Missing kernel boot module?", profile.gives_up(f"Could not set up {profile.dom0_called} guest OS", -2))
    return Stop("modules", lines, *_why_missing(info, kernel, listed or [*unseen]))


def read_from_nowhere(info: BootInfo, module: Module | None, stage: str, *, more_ram: bool) -> Stop | None:
    """Return what becomes of Xen when it reads a module that lies in no RAM of the tree (copy_from_paddr).

    It maps whatever address it is given, so that the machine decides: Xen boots where RAM is behind it.
    """
    if more_ram or module is None or not module.size or not info.mem or _is_ram(info, module):
        return None
    because = f"{module.node} [{module.start:#x}-{module.start + module.size - 1:#x}] is outside the RAM of the tree"
    unless = f"the machine has RAM at {module.start:#x} that the tree does not list"
    return Stop(stage, (DATA_ABORT,), because, module.node or None, unless=unless)


def _why_missing(info: BootInfo, kernel: Module | None, listed: list[str]) -> tuple[str, str]:
    if kernel is not None:
        return f"the module {kernel.node} has no bytes", kernel.node
    if info.dropped:
        path = info.dropped[0]
        because = f"the module {path} overlaps reserved memory, Xen, the tree itself or another module, and is dropped"
        return because, path
    if info.stopped_at is not None:
        return f"Xen's scan of the tree ends at {info.stopped_at} without a word, before dom0's kernel", info.stopped_at
    return f"none of the modules of /chosen is a kernel for dom0 ({', '.join(listed[:3])})", listed[0]


def place_modules(bank: AddressRange, kernel: int, ramdisk: int, tree: int) -> Stop | None:
    """Place kernel, tree and ramdisk (sizes in bytes) into a domain's first bank; return what Xen says when that fails."""
    modules = _rounded(ramdisk) + _rounded(tree)
    room = _rounded(bank.start + kernel) - bank.start
    needs = f"{format_size(room + modules)} for kernel, tree and ramdisk, and the first bank has {format_size(bank.size)}"
    if modules + room > bank.size:
        return Stop("dom0-modules", ("Not enough memory in the first bank for the kernel+dtb+initrd",), needs)
    if bank.size >= _MODULES_AT + modules and kernel < _MODULES_AT:
        return None
    if bank.size - modules > room:
        return None
    return Stop("dom0-modules", ("Unable to find suitable location for dtb+initrd",), needs)


def dom0_modules(
    banks: Sequence[AddressRange],
    info: BootInfo,
    tree: int,
    profile: XenProfile,
    devices: Sequence[Mapped] = (),
    *,
    mapped: Sequence[int] = (),
    more_ram: bool = False,
) -> Outcome:
    """Place dom0's modules in its first bank; ``tree`` is the size in bytes of the tree that Xen wrote.

    ``devices`` is what was mapped into dom0 before the modules are copied, ``mapped`` the sizes that Xen keeps mapped,
    ``more_ram`` is as `kernel_probe` has it.
    """
    kernel, ramdisk = dom0_kernel(info), dom0_ramdisk(info)
    if kernel is None or not banks:
        return Open("where dom0's modules go: kernel or RAM is not known")
    stop = place_modules(banks[0], kernel.size, ramdisk.size if ramdisk else 0, tree)
    if stop is not None:
        return stop._replace(node=kernel.node or None)
    stop = unmapped((kernel, ramdisk), mapped, profile.copies_to or "d0") or read_from_nowhere(
        info, ramdisk, "dom0-modules", more_ram=more_ram
    )
    if stop is not None:
        return stop
    stop = onto_a_device(banks[0], (kernel.size, ramdisk.size if ramdisk else 0, tree), profile, devices)
    if stop is not None:
        return stop
    return Passed((f"{format_size(kernel.size)} of kernel in a bank of {format_size(banks[0].size)}",))


def onto_a_device(
    bank: AddressRange,
    sizes: tuple[int, int, int],
    profile: XenProfile,
    devices: Sequence[Mapped],
    domain: str = "d0",
) -> Stop | None:
    """Return what Xen says when a page that it copies kernel, ramdisk or tree (``sizes`` in bytes) to is a device's by now.

    A device's registers are mapped over dom0's RAM, and Xen copies to RAM only (copy_to_guest_phys_flush_dcache).
    """
    kernel, ramdisk, tree = sizes
    modules = _rounded(ramdisk) + _rounded(tree)
    base = bank.start + _MODULES_AT
    if bank.size < _MODULES_AT + modules or kernel >= _MODULES_AT:
        base = bank.stop - modules
    copies = (("kernel", bank.start, kernel), ("initrd", base + _rounded(tree), ramdisk), ("DTB", base, tree))
    for what, start, size in copies:
        touched = [(max(start, item.start), item) for item in devices if item.start < start + size and start < item.stop]
        met = min(touched, key=lambda pair: pair[0], default=None)
        if met is None:
            continue
        at, device = met
        line = f"Unable to copy the {what} in the {profile.copies_to or domain} memory"
        if what == "DTB":
            line = f"Unable to copy the DTB to {domain} memory (left = {start + size - at} bytes)"
        called = domain if domain != "d0" else "dom0"
        because = f"{device.node} is mapped into {called} at {at:#x}, over its RAM, where Xen puts its {what}"
        return Stop("dom0-modules", (line,), because, device.node)
    return None


def unmapped(modules: Iterable[Module | None], mapped: Sequence[int], called: str) -> Stop | None:
    """Return what Xen says of the first kernel or ramdisk that it cannot map whole to copy it to the domain ``called``."""
    for module in modules:
        if module is not None and not fits_into_vmap(module.size, mapped):
            what = "kernel" if module.kind == "Kernel" else "initrd"
            because = f"{module.node} has {format_size(module.size)}, and Xen has 1 GiB of addresses for all that it maps"
            return Stop("dom0-modules", (f"Unable to map the {called} {what}",), because, module.node or None)
    return None


def copied_into_a_hole(info: BootInfo, domain: str) -> int | None:
    """Return the first address outside RAM that Xen writes to when it loads a domain of one piece of static memory.

    Xen reaches the domain's RAM through its direct map, which has entries for RAM only. Kernel, tree and ramdisk go where
    place_modules puts them.
    """
    pieces = [bank for bank in info.reserved_mem if bank.type is BankType.STATIC_DOMAIN and bank.node == domain]
    sizes = {item.kind: item.size for item in info.modules if item.node.rpartition("/")[0] == domain}
    if len(pieces) != 1 or "Kernel" not in sizes:
        return None
    start, ramdisk = pieces[0].start, sizes.get("Ramdisk", 0)
    modules = _ALIGN + _rounded(ramdisk)
    at_128 = pieces[0].size >= _MODULES_AT + modules and sizes["Kernel"] < _MODULES_AT
    base = start + (_MODULES_AT if at_128 else pieces[0].size - modules)
    written = [(start, sizes["Kernel"]), (base + _ALIGN, ramdisk), (base, _PAGE)]
    ends = (address for low, size in written if size for address in (low, low + size - 1))
    return next((address for address in ends if not any(bank.start <= address < bank.stop for bank in info.mem)), None)


def _is_ram(info: BootInfo, module: Module) -> bool:
    """Tell whether RAM begins where the module does: Xen copies it from there (copy_to_guest_phys_flush_dcache)."""
    return any(bank.start <= module.start < bank.stop for bank in info.mem)


def _rounded(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN

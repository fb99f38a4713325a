"""What the scan of the flat tree leaves: banks of RAM and reservations, boot modules, command lines.

Mirrors the types of include/xen/bootfdt.h (asm/setup.h up to 4.19) and, from common/device-tree/bootinfo.c (arch/arm/setup.c
up to 4.19), how a module's kind and a domain's command line are found. What fills it is `bootfdt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE
from dtanalyze.devicetree.tree import Node, Tree

__all__ = [
    "DEVICE_TREE",
    "MAX_MODULES",
    "MODULE_DEPTH",
    "Bank",
    "BankType",
    "BootCmdline",
    "BootInfo",
    "Module",
    "boot_cmdline_find_by_name",
    "dom0_modules_of",
    "fdt_node_check_compatible",
    "guessed_kind",
    "is_below_chosen",
    "is_dom0less_mode",
    "is_module",
    "known_kind",
    "loaded_by_efi",
]

MAX_MODULES: Final = 32
MODULE_DEPTH: Final = 3
"""How deep below the root a module may be."""
_MODULE_PATH: Final = 92
_MODULES: Final = ("xen,multiboot-module", "multiboot,module")
"""Room for a module's path and its end; one with a longer path is not seen."""
DEVICE_TREE: Final = "Device Tree"
"""The kind of the module that is the tree itself (BOOTMOD_FDT)."""
_KINDS: Final = (
    ("Kernel", ("xen,linux-zimage", "multiboot,kernel")),
    ("Ramdisk", ("xen,linux-initrd", "multiboot,ramdisk")),
    ("XSM", ("xen,xsm-policy",)),
    ("DTB", ("multiboot,device-tree",)),
)


class BankType(Enum):
    """``enum membank_type``, as far as it matters."""

    DEFAULT = 0
    STATIC_DOMAIN = 1
    STATIC_HEAP = 2
    FDT_RESVMEM = 3


class Bank(NamedTuple):
    """One memory bank; ``size`` is bytes. ``node`` is where it stands in the tree."""

    start: int
    size: int
    type: BankType
    node: str

    @property
    def stop(self) -> int:
        """First address after the bank."""
        return self.start + self.size

    @property
    def wraps(self) -> bool:
        """Whether the last address lies beyond 64 bits."""
        return self.stop > ADDRESS_SPACE


class Module(NamedTuple):
    """One boot module; ``kind`` is ``Xen``, ``Device Tree``, ``Kernel``, ``Ramdisk``, ``XSM``, ``DTB`` or ``Unknown``."""

    kind: str
    start: int
    size: int
    node: str
    domu: bool


class BootCmdline(NamedTuple):
    """The ``bootargs`` of one module; ``name`` is that of the node above it, unit address included."""

    name: str
    text: str


class BootInfo(NamedTuple):
    """What the scan leaves. ``panic`` is Xen's last line when it stops here; ``stopped_at`` is the node whose error ended
    the scan without a word (older releases), after which nothing of the tree was seen.

    ``said`` is what Xen prints of that node, ``hangs_at`` the node at which it scans for ever. ``static_heap``
    tells that /chosen names the only RAM that becomes heap, be it none.
    """

    mem: tuple[Bank, ...]
    reserved_mem: tuple[Bank, ...]
    shmem: tuple[Bank, ...]
    modules: tuple[Module, ...]
    dropped: tuple[str, ...]
    panic: str | None
    stopped_at: str | None
    said: str | None = None
    hangs_at: str | None = None
    static_heap: bool = False
    cmdlines: tuple[BootCmdline, ...] = ()

    @property
    def ram_known(self) -> bool:
        """Whether the tree lists RAM that Xen sees; a boot loader fills in a memory node of the root.

        RAM of nodes further down (up to 4.19) counts where a boot loader has been at the tree: modules show that.
        """
        return any(bank.node.count("/") == 1 or any(item.node for item in self.modules) for bank in self.mem)


def boot_cmdline_find_by_name(info: BootInfo, domain: Node) -> str:
    """Return the command line of a domain, empty when there is none.

    Xen looks for the domain's name without its unit address among names with theirs: a domain called ``domU@1`` has none of
    its own. The first module with that name above it counts, whatever its kind.
    """
    return next((item.text for item in info.cmdlines if item.name == domain.base_name), "")


def is_dom0less_mode(tree: Tree, info: BootInfo, *, efi: bool) -> bool:
    """Tell whether /chosen, which describes domains, has no kernel for a dom0.

    A tree whose modules are no kernels at all has a dom0 that Xen fails to build; one without any is yet to be filled in.
    """
    own = [node for node, kind in dom0_modules_of(tree) if kind == "Kernel"]
    if any(loaded_by_efi(node, efi=efi) for node in own):
        return False
    listed = any(item.node for item in info.modules) or bool(info.dropped)
    kernels = [item for item in info.modules if item.kind == "Kernel"]
    return all(item.domu for item in kernels) and not (listed and not kernels)


def dom0_modules_of(tree: Tree) -> tuple[tuple[Node, str], ...]:
    """Return the nodes that the scan takes for modules of dom0, each with its kind; the first of no kind is a kernel."""
    known = tree.root.known
    if known is None:
        return tuple(_modules_of_dom0(tree))
    found: tuple[tuple[Node, str], ...] | None = known.get("dom0's modules")
    if found is None:
        found = known["dom0's modules"] = tuple(_modules_of_dom0(tree))
    return found


def _modules_of_dom0(tree: Tree) -> Iterator[tuple[Node, str]]:
    guesses = 0
    for node in tree.root:
        if not is_module(node) or node.path.count("/") > MODULE_DEPTH or not is_below_chosen(node):
            continue
        kind = known_kind(node)
        if kind is None:
            guesses += 1
            kind = guessed_kind(guesses)
        if not fdt_node_check_compatible((node.parent or node), "xen,domain"):
            yield node, kind


def known_kind(node: Node) -> str | None:
    """Return the kind of a module that its compatible names."""
    return next((kind for kind, names in _KINDS if fdt_node_check_compatible(node, *names)), None)


def guessed_kind(number: int) -> str:
    """Return what a module without a kind is taken for, ``number`` counting those from 1."""
    return {1: "Kernel", 2: "Ramdisk"}.get(number, "Unknown")


def fdt_node_check_compatible(node: Node, *names: str) -> bool:
    """Tell whether one of ``names`` stands in ``compatible``, letter by letter, as libfdt compares."""
    prop = node.prop("compatible")
    return prop is not None and not set(names).isdisjoint(prop.strings)


def loaded_by_efi(node: Node, *, efi: bool) -> bool:
    """Tell whether Xen's loader loads the module from a file and writes its address (handle_module_node, efi-dom0.c)."""
    return efi and node.prop("xen,uefi-binary") is not None


def is_below_chosen(node: Node) -> bool:
    """Tell it by the first letters of the path, which has to fit into Xen's buffer for it."""
    return node.path.startswith("/chosen") and len(node.path) < _MODULE_PATH


def is_module(node: Node) -> bool:
    """Tell whether the scan takes the node for a boot module, at whatever depth it looks."""
    return node.is_any_of(_MODULES)

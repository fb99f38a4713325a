"""Memory and reserved banks as Xen's scan of the flat tree sees them, before the tree is unflattened.

Mirrors boot_fdt_info, early_scan_node and device_tree_for_each_node (arch/arm/bootfdt.c, from 4.20
common/device-tree/bootfdt.c, from 4.21 also
common/device-tree/bootinfo-fdt.c), add_boot_module and check_reserved_regions_overlap (arch/arm/setup.c, from 4.20
common/device-tree/bootinfo.c). Left out: EFI's memory map, ACPI, the content of modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, RawRange
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Property, Tree
from dtanalyze.xen.build import DEFAULT, Build
from dtanalyze.xen.profile import XenProfile

__all__ = [
    "DEVICE_TREE",
    "Bank",
    "BankType",
    "BootCmdline",
    "BootInfo",
    "Module",
    "boot_cmdline_find_by_name",
    "boot_fdt_info",
    "dom0_modules_of",
    "fdt_node_check_compatible",
    "loaded_by_efi",
]

DEVICE_TREE_MAX_DEPTH: Final = 16
MAX_MODULES: Final = 32
DT_MAX_NAME: Final = 41
"""Bytes of a domain's name that are kept with its command line, the end included."""
_MODULE_DEPTH: Final = 3
_MODULE_PATH: Final = 92
"""Room for a module's path and its end; one with a longer path is not seen."""
BOOTMOD_MAX_CMDLINE: Final = 1024
DEVICE_TREE: Final = "Device Tree"
"""The kind of the module that is the tree itself (BOOTMOD_FDT)."""
MAX_SHM_ID_LENGTH: Final = 16
_PAGE: Final = 4096
_ROOT: Final = CellCounts(2, 1)


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


def dom0_modules_of(tree: Tree) -> tuple[tuple[Node, str], ...]:
    """Return the nodes that the scan takes for modules of dom0, each with its kind; the first of no kind is a kernel."""
    known = tree.root.known
    if known is None:
        return tuple(_dom0_modules(tree))
    found: tuple[tuple[Node, str], ...] | None = known.get("dom0's modules")
    if found is None:
        found = known["dom0's modules"] = tuple(_dom0_modules(tree))
    return found


def _dom0_modules(tree: Tree) -> Iterator[tuple[Node, str]]:
    guesses = 0
    for node in tree.root:
        if not _is_module(node) or node.path.count("/") > _MODULE_DEPTH or not _is_below_chosen(node):
            continue
        kind = next((kind for kind, names in _KINDS if fdt_node_check_compatible(node, *names)), None)
        if kind is None:
            guesses += 1
            kind = {1: "Kernel", 2: "Ramdisk"}.get(guesses, "Unknown")
        if not fdt_node_check_compatible(_parent(node), "xen,domain"):
            yield node, kind


def fdt_node_check_compatible(node: Node, *names: str) -> bool:
    """Tell whether one of ``names`` stands in ``compatible``, letter by letter, as libfdt compares."""
    prop = node.prop("compatible")
    return prop is not None and not set(names).isdisjoint(prop.strings)


def loaded_by_efi(node: Node, *, efi: bool) -> bool:
    """Tell whether Xen's loader loads the module from a file and writes its address (handle_module_node, efi-dom0.c)."""
    return efi and node.prop("xen,uefi-binary") is not None


def _is_below_chosen(node: Node) -> bool:
    """Tell it by the first letters of the path, which has to fit into Xen's buffer for it."""
    return node.path.startswith("/chosen") and len(node.path) < _MODULE_PATH


def _is_module(node: Node) -> bool:
    return node.is_compatible("xen,multiboot-module") or node.is_compatible("multiboot,module")


class _ScanError(Exception):
    """A negative return code of early_scan_node."""

    def __init__(self, code: int, node: str, line: str | None = None) -> None:
        super().__init__(node)
        self.code = code
        self.line = line


class _HangError(Exception):
    """The walk comes to no end at this node."""


class _PanicError(Exception):
    """A panic() inside the scan itself, at a node where there is one."""

    def __init__(self, line: str, node: str | None = None) -> None:
        super().__init__(line)
        self.node = node


def boot_fdt_info(
    tree: Tree,
    profile: XenProfile,
    *,
    modules: tuple[Module, ...] = (),
    build: Build = DEFAULT,
    efi: bool = False,
) -> BootInfo:
    """Scan ``tree``; ``modules`` are those known before (Xen itself, the tree).

    Through ``efi`` Xen's own loader gives the modules that name a file their ``reg``.
    """
    scan = _Scan(tree, profile, modules, build, efi=efi)
    panic = stopped_at = said = hangs_at = None
    try:
        scan.run()
    except _HangError as error:
        hangs_at = str(error)
    except _PanicError as error:
        panic, stopped_at = str(error), error.node
    except _ScanError as error:
        if profile.scan_error_panics:
            panic = f"Early FDT parsing failed ({error.code})"
        stopped_at, said = str(error), error.line
    return BootInfo(
        mem=tuple(sorted(scan.mem, key=lambda bank: bank.start)),
        reserved_mem=tuple(scan.reserved),
        shmem=tuple(scan.shmem),
        modules=tuple(scan.modules),
        dropped=tuple(scan.dropped),
        panic=panic,
        stopped_at=stopped_at,
        said=said,
        hangs_at=hangs_at,
        static_heap=scan.static_heap,
        cmdlines=tuple(scan.cmdlines),
    )


class _Scan:
    def __init__(self, tree: Tree, profile: XenProfile, modules: tuple[Module, ...], build: Build, *, efi: bool) -> None:
        self.build = build
        self.efi = efi
        self.tree = tree
        self.profile = profile
        self.mem: list[Bank] = []
        self.reserved: list[Bank] = []
        self.shmem: list[Bank] = []
        self.modules: list[Module] = list(modules)
        self.dropped: list[str] = []
        self.shm_ids: dict[bytes, tuple[int | None, int]] = {}
        self.guesses = 0
        self.static_heap = False
        self.cmdlines: list[BootCmdline] = []

    def run(self) -> None:
        if self.profile.memreserve_is_reserved:
            for raw, _ in self.tree.reservations:
                if len(self.reserved) >= self.profile.nr_mem_banks:
                    raise _PanicError("Cannot allocate reserved memory bank")
                self.reserved.append(Bank(raw.start, raw.size, BankType.FDT_RESVMEM, "/memreserve/"))
        self._each(self.tree.root, 0)

    def _each(self, node: Node, depth: int) -> None:
        for child in node.children:
            if depth + 1 >= DEVICE_TREE_MAX_DEPTH:
                if self.profile.deep_nodes_hang:
                    raise _HangError(child.path)
                continue
            self._node(child, depth + 1)
            self._each(child, depth + 1)

    def _node(self, node: Node, depth: int) -> None:
        """early_scan_node: the first test that applies decides."""
        if self._is_memory(node, depth):
            self._meminfo(node, "reg", inherited_cells(_parent(node), _ROOT), self.mem, BankType.DEFAULT)
        elif depth == 1 and node.name == "reserved-memory":
            self._reserved_memory(node)
        elif depth <= _MODULE_DEPTH and _is_module(node):
            self._module(node)
        elif depth == 1 and node.base_name == "chosen":
            self._chosen(node)
        elif depth == 2 and node.is_compatible("xen,domain"):
            self._domain(node)
        elif depth <= 3 and node.is_compatible("xen,domain-shared-memory-v1"):
            self._shm(node)

    def _is_memory(self, node: Node, depth: int) -> bool:
        if node.base_name != "memory":
            return False
        return self.profile.memory_by_name_anywhere or (depth == 1 and node.device_type == "memory")

    def _meminfo(self, node: Node, name: str, counts: CellCounts, banks: list[Bank], kind: BankType) -> None:
        """device_tree_get_meminfo."""
        if self.profile.status_honoured and not node.available:
            return
        if counts.address < 1 or counts.size < 1:
            raise _ScanError(-22, node.path)
        prop = node.prop(name)
        if prop is None:
            raise _ScanError(-2, node.path)
        for start, size in _tuples(prop, counts):
            if len(banks) >= self.profile.nr_mem_banks:
                raise _ScanError(-28, node.path)
            if banks is self.reserved and self._overlaps(start, size, within_memreserve=True):
                raise _ScanError(-22, node.path)
            if size:
                banks.append(Bank(start, size, kind, node.path))

    def _overlaps(self, start: int, size: int, *, within_memreserve: bool) -> bool:
        """check_reserved_regions_overlap: an empty region inside a bank overlaps it too."""
        if not self.profile.reserved_overlap_checked:
            return False
        stop = start + size
        tolerant = within_memreserve and self.profile.overlap_within_memreserve
        for bank in (*self.reserved, *self.shmem):
            if stop <= bank.start or start >= bank.stop:
                continue
            if tolerant and bank.type is BankType.FDT_RESVMEM and start >= bank.start and stop <= bank.stop:
                continue
            return True
        return any(start < module.start + module.size and stop > module.start for module in self.modules)

    def _reserved_memory(self, node: Node) -> None:
        """Every node below /reserved-memory, at any depth; cells start from the node itself, not from the root."""
        address, size = node.prop("#address-cells"), node.prop("#size-cells")
        counts = CellCounts(
            (address.u32 if address else None) or (_ROOT.address if address is None else 0),
            (size.u32 if size else None) or (_ROOT.size if size is None else 0),
        )
        self._reserved_children(node, counts, 0)

    def _reserved_children(self, node: Node, counts: CellCounts, depth: int) -> None:
        for child in node.children:
            if depth + 1 >= DEVICE_TREE_MAX_DEPTH:
                continue
            try:
                self._meminfo(child, "reg", counts, self.reserved, BankType.DEFAULT)
            except _ScanError as error:
                if error.code == -28:
                    raise _PanicError("Max number of supported reserved-memory regions reached.", child.path) from error
                if error.code != -2:
                    raise
            self._reserved_children(child, inherited_cells(child, counts) if _own_cells(child) else counts, depth + 1)

    def _module(self, node: Node) -> None:
        if not _is_below_chosen(node):
            return
        prop = node.prop("reg")
        counts = inherited_cells(_parent(node), _ROOT)
        if prop is None and loaded_by_efi(node, efi=self.efi):
            return
        if prop is None:
            raise _PanicError(f"node {node.name} missing `reg' property", node.path)
        if len(prop.value) < 4 * (counts.address + counts.size):
            raise _PanicError(f"fdt: node `{node.name}': `reg` property length is too short", node.path)
        start, size = next(iter(_tuples(prop, counts)), (0, 0))
        domu = fdt_node_check_compatible(_parent(node), "xen,domain")
        self._add_module(Module(self._kind(node), start, size, node.path, domu))
        line = node.prop("bootargs")
        if line is not None:
            self._add_cmdline(_parent(node).name, line.value.partition(b"\0")[0], node.path)

    def _add_cmdline(self, name: str, text: bytes, path: str) -> None:
        if len(self.cmdlines) >= MAX_MODULES:
            return
        if len(text) > BOOTMOD_MAX_CMDLINE:
            raise _PanicError(f"module {name} command line too long", path)
        self.cmdlines.append(BootCmdline(name[: DT_MAX_NAME - 1], text.decode("ascii", "backslashreplace")))

    def _kind(self, node: Node) -> str:
        for kind, names in _KINDS:
            if fdt_node_check_compatible(node, *names):
                return kind
        self.guesses += 1
        return {1: "Kernel", 2: "Ramdisk"}.get(self.guesses, "Unknown")

    def _add_module(self, module: Module) -> None:
        if len(self.modules) >= MAX_MODULES or self._overlaps(module.start, module.size, within_memreserve=True):
            self.dropped.append(module.node)
            return
        self.modules.append(module)

    def _chosen(self, node: Node) -> None:
        if self.profile.static_heap and node.prop("xen,static-heap") is not None:
            counts = inherited_cells(_parent(node), _ROOT)
            self._meminfo(node, "xen,static-heap", counts, self.reserved, BankType.STATIC_HEAP)
            self.static_heap = True
        start, end = node.prop("linux,initrd-start"), node.prop("linux,initrd-end")
        if start is None:
            return
        if end is None or len(start.value) not in (4, 8) or len(end.value) not in (4, 8):
            raise _ScanError(-22, node.path)
        low, high = read_number(start.cells), read_number(end.cells)
        if low >= high:
            raise _ScanError(-22, node.path)
        self._add_module(Module("Ramdisk", low, high - low, node.path, False))

    def _domain(self, node: Node) -> None:
        if node.prop("xen,static-mem") is None:
            return
        if self.profile.static_mem_needs_build and not self.build.has("STATIC_MEMORY"):
            raise _ScanError(-22, node.path, "CONFIG_STATIC_MEMORY must be enabled for parsing xen,static-mem")
        counts = inherited_cells(_parent(node), _ROOT)
        if self.profile.static_mem_own_cells:
            address, size = node.prop("#xen,static-mem-address-cells"), node.prop("#xen,static-mem-size-cells")
            counts = CellCounts((address.u32 or 0) if address else 0, (size.u32 or 0) if size else 0)
        self._meminfo(node, "xen,static-mem", counts, self.reserved, BankType.STATIC_DOMAIN)

    def _shm(self, node: Node) -> None:
        """process_shm_node: host address (it may be left out from 4.20), guest address, size, in the parent's cells."""
        if not self.profile.static_shm:
            return
        if not self.build.has("STATIC_SHM"):
            line = "CONFIG_STATIC_SHM must be enabled for parsing static shared memory nodes"
            raise _ScanError(-22, node.path, line)
        counts = inherited_cells(_parent(node), _ROOT)
        if counts.address < 1 or counts.size < 1:
            raise _ScanError(-22, node.path)
        name, prop = node.prop("xen,shm-id"), node.prop("xen,shared-mem")
        if name is None or prop is None:
            raise _ScanError(-2, node.path)
        shm_id, cells = name.value.partition(b"\0")[0], prop.cells
        width = 2 * counts.address + counts.size
        without_host = self.profile.shm_without_host_address and len(cells) == width - counts.address
        start = None if without_host else read_number(cells[: counts.address])
        size = read_number(cells[-counts.size :])
        fits = (without_host or len(cells) == width) and len(prop.value) == 4 * len(cells)
        if len(shm_id) >= MAX_SHM_ID_LENGTH or not fits or not size or (start or 0) % _PAGE or size % _PAGE:
            raise _ScanError(-22, node.path)
        self._add_shm(shm_id, start, size, node)

    def _add_shm(self, shm_id: bytes, start: int | None, size: int, node: Node) -> None:
        """One identity means one region, and no other region may touch it."""
        known = self.shm_ids.get(shm_id)
        if known is not None:
            if known[1] != size or start not in (None, known[0]):
                raise _ScanError(-22, node.path)
            return
        if start is not None:
            stop = start + size
            touched = any(start < bank.stop and bank.start < stop for bank in self.shmem)
            if touched or self._overlaps(start, size, within_memreserve=False):
                raise _ScanError(-22, node.path)
            self.shmem.append(Bank(start, size, BankType.STATIC_DOMAIN, node.path))
        self.shm_ids[shm_id] = (start, size)


def _parent(node: Node) -> Node:
    return node.parent if node.parent is not None else node


def _own_cells(node: Node) -> bool:
    return node.prop("#address-cells") is not None or node.prop("#size-cells") is not None


def _tuples(prop: Property, counts: CellCounts) -> list[RawRange]:
    """Return the whole entries of ``prop``; where cells are none, there is no entry."""
    width = counts.address + counts.size
    cells = prop.cells
    return [
        RawRange(read_number(cells[at : at + counts.address]), read_number(cells[at + counts.address : at + width]))
        for at in (range(0, len(cells) - width + 1, width) if width else ())
    ]

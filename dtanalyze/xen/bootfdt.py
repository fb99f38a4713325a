"""Xen's scan of the flat tree, before it is unflattened: RAM, reservations, modules, what domains are given.

Mirrors boot_fdt_info, early_scan_node and device_tree_for_each_node (arch/arm/bootfdt.c, from 4.20
common/device-tree/bootfdt.c, from 4.21 also common/device-tree/bootinfo-fdt.c), add_boot_module and
check_reserved_regions_overlap (arch/arm/setup.c, from 4.20 common/device-tree/bootinfo.c). It leaves a `BootInfo`. Left out:
EFI's memory map, ACPI, the content of modules.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.address.range import RawRange
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Property, Tree
from dtanalyze.xen.bootinfo import (
    MAX_MODULES,
    MODULE_DEPTH,
    Bank,
    BankType,
    BootCmdline,
    BootInfo,
    Module,
    fdt_node_check_compatible,
    guessed_kind,
    is_below_chosen,
    is_module,
    known_kind,
    loaded_by_efi,
)
from dtanalyze.xen.build import DEFAULT, Build
from dtanalyze.xen.dt_property import dt_device_is_available
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.scan_errors import HangError, PanicError, ScanError
from dtanalyze.xen.stage import DATA_ABORT
from dtanalyze.xen.static_shmem import process_shm_node

__all__ = ["boot_fdt_info"]

DEVICE_TREE_MAX_DEPTH: Final = 16
DT_MAX_NAME: Final = 41
"""Bytes of a domain's name that are kept with its command line, the end included."""
BOOTMOD_MAX_CMDLINE: Final = 1024
_ROOT: Final = CellCounts(2, 1)
_MOST_CELLS: Final = 2


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
    except HangError as error:
        hangs_at = str(error)
    except PanicError as error:
        panic, stopped_at = str(error), error.node
    except ScanError as error:
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
                    raise PanicError("Cannot allocate reserved memory bank")
                self.reserved.append(Bank(raw.start, raw.size, BankType.FDT_RESVMEM, "/memreserve/"))
        self._each(self.tree.root, 0)

    def _each(self, node: Node, depth: int) -> None:
        for child in node.children:
            if depth + 1 >= DEVICE_TREE_MAX_DEPTH:
                if self.profile.deep_nodes_hang:
                    raise HangError(child.path)
                continue
            self._node(child, depth + 1)
            self._each(child, depth + 1)

    def _node(self, node: Node, depth: int) -> None:
        """early_scan_node: the first test that applies decides."""
        if self._is_memory(node, depth):
            self._meminfo(node, "reg", inherited_cells(_parent(node), _ROOT), self.mem, BankType.DEFAULT)
        elif depth == 1 and node.name == "reserved-memory":
            self._reserved_memory(node)
        elif depth <= MODULE_DEPTH and is_module(node):
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
        if self.profile.status_honoured and not dt_device_is_available(node):
            return
        if counts.address < 1 or counts.size < 1:
            raise ScanError(-22, node.path)
        prop = node.prop(name)
        if prop is None:
            raise ScanError(-2, node.path)
        for start, size in self._tuples(prop, counts):
            if len(banks) >= self.profile.nr_mem_banks:
                raise ScanError(-28, node.path)
            if banks is self.reserved and self._overlaps(start, size, within_memreserve=True):
                raise ScanError(-22, node.path)
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
        self._reserved_children(node, _own_cells(node, _ROOT), 0)

    def _reserved_children(self, node: Node, counts: CellCounts, depth: int) -> None:
        for child in node.children:
            if depth + 1 >= DEVICE_TREE_MAX_DEPTH:
                continue
            try:
                self._meminfo(child, "reg", counts, self.reserved, BankType.DEFAULT)
            except ScanError as error:
                if error.code == -28:
                    raise PanicError("Max number of supported reserved-memory regions reached.", child.path) from error
                if error.code != -2:
                    raise
            self._reserved_children(child, _own_cells(child, counts), depth + 1)

    def _module(self, node: Node) -> None:
        if not is_below_chosen(node):
            return
        prop = node.prop("reg")
        counts = inherited_cells(_parent(node), _ROOT)
        if prop is None and loaded_by_efi(node, efi=self.efi):
            return
        if prop is None:
            raise PanicError(f"node {node.name} missing `reg' property", node.path)
        if len(prop.value) < _dt_cells_to_size(counts.address + counts.size):
            raise PanicError(f"fdt: node `{node.name}': `reg` property length is too short", node.path)
        if len(prop.value) < 4 * (counts.address + counts.size):
            start, size = self._beyond_two_cells(prop.cells, counts, node)
        else:
            start, size = next(iter(self._tuples(prop, counts)), (0, 0))
        domu = fdt_node_check_compatible(_parent(node), "xen,domain")
        self._add_module(Module(self._kind(node), start, size, node.path, domu))
        line = node.prop("bootargs")
        if line is not None:
            self._add_cmdline(_parent(node).name, line.value.partition(b"\0")[0], node.path)

    def _beyond_two_cells(self, cells: tuple[int, ...], counts: CellCounts, node: Node) -> RawRange:
        """Return what a reg says whose cells are so many that an entry's length wraps: loops read far behind the tree."""
        if self.profile.numbers_loop or not 0 < counts.address < len(cells):
            raise PanicError(DATA_ABORT, node.path)
        return RawRange(self._number(cells[: counts.address]), cells[counts.address])

    def _tuples(self, prop: Property, counts: CellCounts) -> list[RawRange]:
        """Return the whole entries of ``prop``; where cells are none, there is no entry."""
        width, cells = counts.address + counts.size, prop.cells
        return [
            RawRange(self._number(cells[at : at + counts.address]), self._number(cells[at + counts.address : at + width]))
            for at in (range(0, len(cells) - width + 1, width) if width else ())
        ]

    def _number(self, cells: tuple[int, ...]) -> int:
        """dt_read_number: a number of more than two cells is its first one where there is no loop."""
        return read_number(cells if self.profile.numbers_loop or len(cells) <= _MOST_CELLS else cells[:1])

    def _add_cmdline(self, name: str, text: bytes, path: str) -> None:
        if len(self.cmdlines) >= MAX_MODULES:
            return
        if len(text) > BOOTMOD_MAX_CMDLINE:
            raise PanicError(f"module {name} command line too long", path)
        self.cmdlines.append(BootCmdline(name[: DT_MAX_NAME - 1], text.decode("ascii", "backslashreplace")))

    def _kind(self, node: Node) -> str:
        kind = known_kind(node)
        if kind is None:
            self.guesses += 1
            kind = guessed_kind(self.guesses)
        return kind

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
            raise ScanError(-22, node.path)
        low, high = read_number(start.cells), read_number(end.cells)
        if low >= high:
            raise ScanError(-22, node.path)
        self._add_module(Module("Ramdisk", low, high - low, node.path, False))

    def _domain(self, node: Node) -> None:
        if node.prop("xen,static-mem") is None:
            return
        if self.profile.static_mem_needs_build and not self.build.has("STATIC_MEMORY"):
            raise ScanError(-22, node.path, "CONFIG_STATIC_MEMORY must be enabled for parsing xen,static-mem")
        counts = inherited_cells(_parent(node), _ROOT)
        if self.profile.static_mem_own_cells:
            address, size = node.prop("#xen,static-mem-address-cells"), node.prop("#xen,static-mem-size-cells")
            counts = CellCounts((address.u32 or 0) if address else 0, (size.u32 or 0) if size else 0)
        self._meminfo(node, "xen,static-mem", counts, self.reserved, BankType.STATIC_DOMAIN)

    def _shm(self, node: Node) -> None:
        if self.profile.static_shm:
            found = process_shm_node(node, inherited_cells(_parent(node), _ROOT), self.profile, self.build)
            self._add_shm(found.shm_id, found.start, found.size, node)

    def _add_shm(self, shm_id: bytes, start: int | None, size: int, node: Node) -> None:
        """One identity means one region, and no other region may touch it."""
        known = self.shm_ids.get(shm_id)
        if known is not None:
            if known[1] != size or start not in (None, known[0]):
                raise ScanError(-22, node.path)
            return
        if start is not None:
            stop = start + size
            touched = any(start < bank.stop and bank.start < stop for bank in self.shmem)
            if touched or self._overlaps(start, size, within_memreserve=False):
                raise ScanError(-22, node.path)
            self.shmem.append(Bank(start, size, BankType.STATIC_DOMAIN, node.path))
        self.shm_ids[shm_id] = (start, size)


def _parent(node: Node) -> Node:
    return node.parent if node.parent is not None else node


def _dt_cells_to_size(cells: int) -> int:
    """Return the bytes of so many cells as the ``int`` of 32 bits that upstream's is: huge numbers wrap."""
    size = 4 * cells & 0xFFFFFFFF
    return size - (size >> 31 << 32)


def _own_cells(node: Node, default: CellCounts) -> CellCounts:
    """Return the counts for children of ``node``: each its own, where it has 32 bits of it, else the ``default``."""
    address, size = (prop.u32 if prop else None for prop in (node.prop("#address-cells"), node.prop("#size-cells")))
    return CellCounts(default.address if address is None else address, default.size if size is None else size)

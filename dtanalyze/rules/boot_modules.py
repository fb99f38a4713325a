"""Rules about boot modules in /chosen: kernels, ramdisks, trees that are passed through."""

from collections.abc import Iterator, Sequence
from typing import Final

from dtanalyze.address.range import RawRange
from dtanalyze.address.units import format_range
from dtanalyze.devicetree.cells import CellCounts, inherited_cells
from dtanalyze.devicetree.tree import Node
from dtanalyze.findings import Severity, Source
from dtanalyze.rules.cures.modules import cells_cures, kernel_cures, moved_cures, named_cures, placed_cures
from dtanalyze.rules.examples import host
from dtanalyze.rules.model import HOST, Example, Hit, Hits, Rule, rule
from dtanalyze.rules.view import HostView, property_offset
from dtanalyze.xen.bootinfo import MAX_MODULES, Module, is_module, loaded_by_efi

__all__ = ["BOOT_MODULES"]

_DEPTH: Final = 3
_KIND_NAMES: Final = (
    ("Kernel", ("xen,linux-zimage", "multiboot,kernel")),
    ("Ramdisk", ("xen,linux-initrd", "multiboot,ramdisk")),
    ("DTB", ("multiboot,device-tree",)),
)
_PROCESS_MODULE: Final = Source("Xen", "xen/common/device-tree/bootfdt.c", "process_multiboot_node", "4.16 to 4.22")
_ADD_MODULE: Final = Source("Xen", "xen/common/device-tree/bootinfo.c", "add_boot_module", "4.16 to 4.22")
_MODULE: Final = 'module@{at} {{ compatible = "multiboot,kernel", "multiboot,module"; {reg} }};'
_REG: Final = "reg = <0x0 0x{at} 0x0 0x1000000>;"
_RAMDISK: Final = _MODULE.replace("kernel", "ramdisk").format(at="48000000", reg=_REG.format(at="48000000"))
_GUEST: Final = (
    '{name} {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0x0 0x40000>; cpus = <1>; '
    'xen,enhanced = "no-xenstore"; '
    'module@4a000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0x0 0x4a000000 0x0 0x1000000>; '
    'bootargs = "console=ttyAMA0"; }}; }};'
)
_KERNEL: Final = _MODULE.format(at="48000000", reg=_REG.format(at="48000000"))


def _modules(view: HostView) -> Iterator[tuple[Node, int]]:
    """Yield each module's node with its depth below the root."""
    for node in view.board.tree.root if view.first else ():
        if is_module(node):
            yield node, node.path.count("/")


@rule(
    "D01",
    "module-without-usable-reg",
    Severity.ERROR,
    HOST,
    what="A boot module has no reg, or one that is too short for the #address-cells and #size-cells of its parent.",
    why="Xen panics in its scan of the tree. A domain's node without these properties inherits them from /chosen or the "
    "root, while dtc assumes 2 and 1 without a warning.",
    advice="Give the module's parent #address-cells and #size-cells, and write reg in these cells.",
    sources=(_PROCESS_MODULE,),
    bad=Example(host(chosen=_MODULE.format(at="48000000", reg="reg = <0x48000000 0x1000000>;"))),
    good=Example(host(chosen=_KERNEL)),
)
def module_without_usable_reg(view: HostView) -> Hits:
    for node, depth in _modules(view):
        if depth > _DEPTH or not node.path.startswith("/chosen") or node.parent is None:
            continue
        prop, counts = node.prop("reg"), inherited_cells(node.parent, CellCounts(2, 1))
        if prop is None and loaded_by_efi(node, efi=view.options.efi):
            continue
        if any(item.node == node.path for item in view.prediction.info.modules):
            continue  # cells beyond reason, of which this release reads one
        if prop is None or len(prop.value) < 4 * (counts.address + counts.size):
            what = (
                "no reg"
                if prop is None
                else f"a reg of {len(prop.value)} bytes, and its parent's {counts.address}+{counts.size} cells take "
                f"{4 * (counts.address + counts.size)}"
            )
            yield Hit(f"{node.path} has {what}", node.path, (), property_offset(node), cures=tuple(cells_cures(node)))


@rule(
    "D02",
    "modules-overlap",
    Severity.ERROR,
    HOST,
    what="A boot module overlaps another one, reserved memory, Xen or the tree itself.",
    why="Xen 4.18 and newer drop the module, so that its kernel is missing, or panic. Older releases overwrite one with "
    "the other.",
    advice="Load the module at other addresses, and write them into its reg.",
    sources=(_ADD_MODULE,),
    bad=Example(host(chosen=_RAMDISK + _MODULE.format(at="48800000", reg=_REG.format(at="48800000")))),
    good=Example(host(chosen=_RAMDISK + _MODULE.format(at="49000000", reg=_REG.format(at="49000000")))),
)
def modules_overlap(view: HostView) -> Hits:
    if not view.first:
        return
    info = view.prediction.info
    dropped = [item for node, _ in _modules(view) if node.path in info.dropped for item in _module_at(node)]
    known = [*info.modules, *dropped]
    others = [RawRange(item.start, item.size) for item in known]
    names = [item.node or f"the boot module {item.kind}" for item in known]
    shared = _sharing(others)
    for index, item in enumerate(known):
        one = others[index]
        for other_index in shared.get(index, ()):
            other = others[other_index]
            if one.start == other.start and item.kind == known[other_index].kind:
                continue  # one module for two domains: Xen finds it by its address
            yield _overlap(view, known[other_index], other, names[index], one, (known[other_index], item))
        for bank in info.reserved_mem:
            if one.start < bank.stop and bank.start < one.stop and item.node in info.dropped:
                yield _overlap(view, item, one, bank.node, RawRange(bank.start, bank.size), (item,))


def _sharing(spans: Sequence[RawRange]) -> dict[int, list[int]]:
    """Return for the number of each span those of later ones that share an address with it, by one sweep over them all."""
    found: dict[int, list[int]] = {}
    active: list[int] = []
    for at in sorted(range(len(spans)), key=lambda number: spans[number].start):
        active = [item for item in active if spans[item].stop > spans[at].start]
        for item in active:
            if spans[at].stop > spans[item].start:
                found.setdefault(min(item, at), []).append(max(item, at))
        active.append(at)
    return {number: sorted(others) for number, others in found.items()}


def _overlap(
    view: HostView, module: Module, span: RawRange, other: str, other_span: RawRange, movable: tuple[Module, ...]
) -> Hit:
    node = view.board.tree.find(module.node) if module.node else None
    dropped = "; Xen drops it" if module.node in view.prediction.info.dropped else ""
    return Hit(
        f"{module.node or module.kind} [{format_range(span.start, span.stop)}] overlaps {other} "
        f"[{format_range(other_span.start, other_span.stop)}]{dropped}",
        module.node or None,
        (span, other_span),
        property_offset(node) if node is not None else None,
        cures=tuple(moved_cures(view, movable)),
    )


def _module_at(node: Node) -> Iterator[Module]:
    prop = node.prop("reg")
    if prop is None or node.parent is None:
        return
    counts = inherited_cells(node.parent, CellCounts(2, 1))
    cells, width = prop.cells, counts.address + counts.size
    if len(cells) >= width:
        start = int.from_bytes(prop.value[: 4 * counts.address], "big")
        size = int.from_bytes(prop.value[4 * counts.address : 4 * width], "big")
        yield Module(_kind(node), start, size, node.path, False)


def _kind(node: Node) -> str:
    """Return what a dropped module would have been."""
    return next((kind for kind, names in _KIND_NAMES if node.is_any_of(names)), "Unknown")


@rule(
    "D03",
    "too-many-modules",
    Severity.ERROR,
    HOST,
    what="The tree names more boot modules than Xen has room for: 32, with Xen itself and the tree.",
    why='Xen ignores the rest ("too many"). A domain misses its kernel or its ramdisk.',
    advice="Remove modules, or give several domains one module by the same addresses.",
    sources=(_ADD_MODULE,),
    bad=Example(
        host(
            chosen="".join(
                _MODULE.replace("kernel", "ramdisk").format(at=f"{at:x}", reg=f"reg = <0x0 {at:#x} 0x0 0x1000>;")
                for at in range(0x48100000, 0x48100000 + 32 * 0x1000, 0x1000)
            )
            + _MODULE.format(at="48000000", reg="reg = <0x0 0x48000000 0x0 0x1000>;")
        )
    ),
    good=Example(host(chosen=_KERNEL)),
)
def too_many_modules(view: HostView) -> Hits:
    nodes = [node for node, depth in _modules(view) if depth <= _DEPTH and node.path.startswith("/chosen")]
    room = MAX_MODULES - 2
    for node in nodes[room:]:
        yield Hit(
            f"{node.path} is boot module {nodes.index(node) + 1}, and Xen takes {room}", node.path, (), property_offset(node)
        )


@rule(
    "D04",
    "module-not-scanned",
    Severity.ERROR,
    HOST,
    what="A boot module lies deeper than three levels, or outside /chosen.",
    why="Xen looks for modules below /chosen, down to the third level, and does not see this one.",
    advice="Move the module below /chosen, or below a domain's node there.",
    sources=(_PROCESS_MODULE,),
    bad=Example(host("modules { #address-cells = <2>; #size-cells = <2>; " + _KERNEL + " };")),
    good=Example(host(chosen=_KERNEL)),
)
def module_not_scanned(view: HostView) -> Hits:
    for node, depth in _modules(view):
        # One that is disabled is not meant to be seen.
        if node.available and (depth > _DEPTH or not node.path.startswith("/chosen")):
            where = f"{depth} levels deep" if node.path.startswith("/chosen") else "outside /chosen"
            text = f"{node.path} is a boot module {where}, where Xen does not look for it"
            yield Hit(text, node.path, (), property_offset(node), cures=tuple(placed_cures(view, node)))


_KINDS: Final = (
    "multiboot,kernel",
    "multiboot,ramdisk",
    "multiboot,device-tree",
    "xen,linux-zimage",
    "xen,linux-initrd",
    "xen,xsm-policy",
)
_MODULES: Final = ("multiboot,module", "xen,multiboot-module")
_POLICY: Final = 'policy@4c000000 {{ compatible = "xen,xsm-policy", "{module}"; reg = <0x0 0x4c000000 0x0 0x4000>; }};'


@rule(
    "D18",
    "module-without-module-compatible",
    Severity.ERROR,
    HOST,
    what='A node of /chosen names a kind of boot module, but lacks "multiboot,module", spells it otherwise, or has it in '
    "one string with others.",
    why="Xen looks for that word alone. It does not load the module, and does not keep its memory free.",
    advice='Add "multiboot,module" to the compatible of the node, as a string of its own: "multiboot,kernel", '
    '"multiboot,module".',
    sources=(_PROCESS_MODULE,),
    bad=Example(host(chosen=_KERNEL + _POLICY.format(module="multiboot-module"))),
    good=Example(host(chosen=_KERNEL + _POLICY.format(module="multiboot,module"))),
)
def module_without_module_compatible(view: HostView) -> Hits:
    chosen = view.board.tree.root.child("chosen") if view.first else None
    for node in chosen or ():
        words = {word.lower() for item in node.compatible for word in item.split()}
        if words.isdisjoint((*_KINDS, *_MODULES)) or node.is_any_of(_MODULES) or node.prop("reg") is None:
            continue
        stated = ", ".join(f'"{item}"' for item in node.compatible)
        text = f"{node.path} is no boot module for Xen: its compatible is {stated}"
        yield Hit(text, node.path, (), property_offset(node, "compatible"), cures=tuple(named_cures(node)))


@rule(
    "D20",
    "no-kernel-for-dom0",
    Severity.ERROR,
    HOST,
    what="There are boot modules, and none of them is a kernel that dom0 can be started from.",
    why='Xen prints "Missing kernel boot module?" and panics: a ramdisk alone is none, nor is a module that Xen dropped or '
    "does not see, or a kernel of size 0.",
    advice='Load a kernel with the boot loader, and add a node for it below /chosen: compatible = "multiboot,kernel", '
    '"multiboot,module", and reg with its address and size.',
    sources=(Source("Xen", "xen/arch/arm/kernel.c", "kernel_probe", "4.16 to 4.22"),),
    bad=Example(host(chosen=_RAMDISK)),
    good=Example(host(chosen=_RAMDISK + _MODULE.format(at="4a000000", reg=_REG.format(at="4a000000")))),
)
def no_kernel_for_dom0(view: HostView) -> Hits:
    stop = view.prediction.stopped_by
    chosen = view.board.tree.root.child("chosen")
    if not view.first or stop is None or stop.stage != "modules" or chosen is None or "kernel" not in stop.message:
        return
    if not view.prediction.info.dropped:  # D02 says which module Xen drops, and what it overlaps
        yield Hit(stop.text, stop.node or chosen.path, (), chosen.offset, cures=tuple(kernel_cures(view, chosen)))


@rule(
    "D21",
    "command-line-of-domain-lost",
    Severity.WARNING,
    HOST,
    what="A domain does not get the bootargs of its own kernel module: its node has a unit address, or shares its name.",
    why="Xen keeps command lines by the name of the node above the module, unit address included, and looks for a domain's "
    "by its name without. The guest starts with no command line, or with the one of another domain.",
    advice="Name the domain's node without a unit address, and as no other: `domU1`, not `domU@1`.",
    sources=(
        Source("Xen", "xen/arch/arm/kernel.c", "kernel_probe", "4.16 to 4.22"),
        Source("Xen", "xen/common/device-tree/bootinfo.c", "boot_cmdline_find_by_name", "4.16 to 4.22"),
    ),
    bad=Example(host(chosen=_KERNEL + _GUEST.format(name="guest@1"))),
    good=Example(host(chosen=_KERNEL + _GUEST.format(name="guest1"))),
)
def command_line_of_domain_lost(view: HostView) -> Hits:
    for domu in view.domus if view.first else ():
        kernel = next((item for item in reversed(domu.node.children) if item.is_compatible("multiboot,kernel")), None)
        prop = kernel.prop("bootargs") if kernel is not None else None
        stated = (prop.string or "") if prop is not None else ""
        # A module without reg is none for Xen, whatever its node is called: D01 says so.
        if kernel is not None and kernel.prop("reg") is not None and stated and stated != domu.bootargs:
            gets = f'"{domu.bootargs}"' if domu.bootargs else "no command line"
            text = f'{domu.node.path} starts with {gets}: Xen does not find "{stated}" of {kernel.name}'
            yield Hit(text, domu.node.path, (), property_offset(kernel, "bootargs"))


BOOT_MODULES: Final[tuple[Rule, ...]] = (
    module_without_usable_reg,
    modules_overlap,
    too_many_modules,
    module_not_scanned,
    module_without_module_compatible,
    no_kernel_for_dom0,
    command_line_of_domain_lost,
)

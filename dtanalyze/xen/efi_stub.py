"""What Xen's EFI loader does to the tree before Xen starts: the command line and the modules of ``xen.cfg`` become nodes.

Mirrors efi_arch_use_config_file, efi_arch_handle_cmdline, efi_arch_handle_module, handle_module_node and efi_check_dt_boot
(arch/arm/efi/efi-boot.h, from 4.21 on in part common/efi) as 4.16 to 4.22 have them. Where the firmware puts a file is not
known before it runs: its module stays without ``reg``, like one that the tree names by ``xen,uefi-binary``. Left out: the
firmware's memory map, which replaces the tree's memory nodes and its reserve map; RAM is taken as the tree or the caller
says it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.devicetree.write import cells, copy_node, new_node, set_property, strings, to_blob
from dtanalyze.xen.efi_config import EfiConfig
from dtanalyze.xen.stage import Outcome, Passed, Stop

if TYPE_CHECKING:
    from dtanalyze.xen.boot import Boot

__all__ = ["efi_notes", "efi_start", "reads_config", "started_by_efi"]

_STAGE: Final = "efi-loader"
_COMPATIBLE: Final = {"kernel": "multiboot,kernel", "ramdisk": "multiboot,ramdisk", "xsm": "xen,xsm-policy"}
_MODULE: Final = "multiboot,module"
_TWICE: Final = {
    "multiboot,kernel": "Dom0 kernel already found in cfg file.",
    "multiboot,ramdisk": "Dom0 ramdisk already found in cfg file.",
    "xen,xsm-policy": "XSM policy already found in cfg file.",
}
_BAD_MODULES: Final = "Error processing boot modules on DT."


def reads_config(tree: Tree, config: EfiConfig) -> bool:
    """Tell whether the loader reads its configuration file (efi_arch_use_config_file).

    Modules in the firmware's tree mean that another loader has done the work, unless ``xen,uefi-cfg-load`` says otherwise.
    A tree that the file itself names (``dtb=``) is not the firmware's.
    """
    chosen = tree.root.child("chosen")
    told = chosen is not None and chosen.prop("xen,uefi-cfg-load") is not None
    return told or config.dtb is not None or not any(node.is_compatible(_MODULE) for node in tree.root)


def started_by_efi(tree: Tree, config: EfiConfig) -> Tree:
    """Return the tree as the loader leaves it, where it reads the configuration."""
    root = copy_node(tree.root, None)
    chosen = root.child("chosen")
    if chosen is None:
        chosen = new_node("chosen", root)
        root.children.insert(0, root.children.pop())
    for name in ("#address-cells", "#size-cells"):
        if name not in chosen.properties:
            set_property(chosen, name, cells((2,)))
    for kind, file in config.modules:
        _module(chosen, kind, file, config)
    if config.options is not None:
        # The tree's own line is used only where the file has none; what is put together begins with a blank.
        set_property(chosen, "xen,xen-bootargs", _text(" " + config.options.text))
    return parse(to_blob(root, [raw for raw, _ in tree.reservations], tree.boot_cpuid))


def _module(chosen: Node, kind: str, file: str, config: EfiConfig) -> None:
    """Add a module before all others, where libfdt puts a node that it adds."""
    given = {"compatible": strings(_COMPATIBLE[kind], _MODULE), "xen,uefi-binary": _text(file)}
    if kind == "kernel" and config.dom0_options is not None:
        given["bootargs"] = _text(config.dom0_options)
    known = chosen.child(kind)
    if known is None:
        new_node(kind, chosen, given)
        chosen.children.insert(0, chosen.children.pop())


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape") + b"\0"


def efi_start(boot: Boot) -> Outcome:
    """Tell whether the loader starts Xen."""
    chosen = boot.host.tree.root.child("chosen")
    nodes = chosen.children if chosen is not None else []
    stop = _uncounted_domain(nodes) or _twice(nodes)
    if stop is not None:
        return stop
    config = boot.host.efi
    if config is not None and not any(_modules_of(nodes)):
        where = f"in section [{config.section}]" if config.section else "in it"
        because = f"{config.source}: no kernel= {where}, and /chosen names no module"
        return Stop(_STAGE, ("No initial domain kernel specified.",), because, "/chosen")
    return Passed()


def _modules_of(nodes: Sequence[Node]) -> Iterator[Node]:
    for node in nodes:
        listed = node.children if node.is_compatible("xen,domain") else (node,)
        yield from (item for item in listed if item.is_compatible(_MODULE))


def _uncounted_domain(nodes: Sequence[Node]) -> Stop | None:
    """Return what the loader says of a domain without cell counts: it inherits none (handle_dom0less_domain_node)."""
    for node in nodes:
        for name in ("#address-cells", "#size-cells"):
            if node.is_compatible("xen,domain") and node.prop(name) is None:
                lines = (f"{name} not found in domain node.", _BAD_MODULES)
                return Stop(_STAGE, lines, f"{node.path} has no {name}", node.path)
    return None


def _twice(nodes: Sequence[Node]) -> Stop | None:
    """Return what the loader says of a second kernel, ramdisk or policy of dom0 that it is to load."""
    named = [node for node in nodes if node.is_compatible(_MODULE) and node.prop("xen,uefi-binary") is not None]
    for kind, line in _TWICE.items():
        found = [node for node in named if node.is_compatible(kind)]
        if len(found) > 1:
            because = f"{found[0].path} and {found[1].path} name files to load"
            return Stop(_STAGE, (line, _BAD_MODULES), because, found[1].path)
    return None


def efi_notes(config: EfiConfig | None, given: EfiConfig | None) -> Iterator[str]:
    """Yield what is taken for granted of a boot through EFI: ``config`` is what counts of the file that is ``given``."""
    if given is None:
        return
    if config is None:
        yield (
            f"{given.source}: not read by Xen, since the tree holds boot modules already (xen,uefi-cfg-load in /chosen "
            "makes Xen read it)"
        )
        return
    where = f"section [{config.section}]" if config.section else "no section, the whole file"
    files = ", ".join(f"{kind} {file}" for kind, file in config.modules) or "no file"
    yield f"{config.source}: {where}; loads {files}, where the firmware finds room"
    if config.dtb is not None:
        yield f"{config.source}: dtb={config.dtb.text} is taken to be this tree"
    if config.unended:
        yield f"{config.source}: its last line has no end: Xen says that it ignores it, and reads it"
    yield "booted through EFI: RAM is what the firmware says, and is taken as given here (--memory)"

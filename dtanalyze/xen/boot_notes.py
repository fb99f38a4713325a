"""What an answer about one boot of Xen rests on, in the sentences that reports show under *Assumed*."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import counted
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.bootinfo import DEVICE_TREE
from dtanalyze.xen.command_line import dom0_command_line, xen_command_line
from dtanalyze.xen.efi_stub import efi_notes
from dtanalyze.xen.platforms import platform_of
from dtanalyze.xen.smpboot import psci_init
from dtanalyze.xen.vgic import gic_node, v2m_frames
from dtanalyze.xen.xsm import flask_wanted, policy_module

__all__ = ["boot_notes", "scan_notes"]

_GIC_CELLS: Final = 3
_FEW_LINES: Final = 256
"""Interrupt IDs that the controllers of boards have at least."""
_LINE_SHOWN: Final = 200
_WORDS_SHOWN: Final = 8


def boot_notes(boot: Boot) -> tuple[str, ...]:
    """What was assumed, whatever the domain."""
    return tuple(item for item in (*_line_notes(boot), boot.iommu_known.note, boot.p2m_ipa_bits.note) if item)


def _line_notes(boot: Boot) -> Iterator[str]:
    """Quote the command lines, and name the words that are not modelled."""
    printed = boot.options.log.console.command_line if boot.options.log is not None else None
    for whose, line in (("Xen's", xen_command_line(boot.host.tree)), ("dom0's", dom0_command_line(boot.host.tree))):
        if line.where:
            logged = whose == "Xen's" and printed is not None and printed.value == line.text
            where = f"line {printed.line} of the log" if printed is not None and logged else line.where
            text = line.text if len(line.text) <= _LINE_SHOWN else line.text[:_LINE_SHOWN] + "…"
            yield f'{whose} command line: "{text}" ({where})'
        elif whose == "Xen's":
            yield "Xen's command line: none in /chosen"
    words = [word.text for word in boot.words if word.standing == "not modelled"]
    if words:
        yield f"not modelled of Xen's command line: {', '.join(words[:_WORDS_SHOWN])}"


def scan_notes(boot: Boot) -> list[str]:
    """What was assumed of the scan and what it finds."""
    notes = list(efi_notes(boot.host.efi, boot.options.efi_config))
    if boot.info.stopped_at is not None and boot.info.panic is None:
        notes.append(f"Xen's scan of the tree ends at {boot.info.stopped_at} without a word; what follows is not seen")
    if not boot.ram_known and boot.iommu:
        notes.append("extended regions: as of the tree without RAM, so they still cover where RAM will be")
    if boot.host.efi is None and not any(item.node for item in boot.info.modules):
        notes.append("boot modules: none in /chosen; a boot loader adds them")
    elif not any(item.kind == DEVICE_TREE for item in boot.info.modules):
        notes.append(
            "boot modules: where Xen and the tree itself lie is not known, so that overlaps with them are not seen "
            "(--fdt-address or --xen-log settles it)"
        )
    if boot.console is None:
        notes.append(f"Xen's console: none, since {boot.console_found.because}; Xen boots on, and what it says is not seen")
    if not psci_init(boot.host.tree):
        notes.append("CPUs: PSCI is to be called otherwise than by smc, Xen's only way, so that it runs on one CPU")
    notes.extend(_gic_notes(boot))
    if boot.cpupools.nodes and "BOOT_TIME_CPUPOOLS" in boot.build.presumed:
        notes.append(
            "pools of CPUs: Xen is taken to be built with CONFIG_BOOT_TIME_CPUPOOLS, which is off by default "
            "(--xen-build stock or --xen-config FILE)"
        )
    notes.extend(_flask_note(boot))
    if boot.info.shmem and "STATIC_SHM" in boot.build.presumed:
        notes.append(
            "static shared memory: Xen is taken to be built with CONFIG_STATIC_SHM, which is off by default "
            "(--xen-build stock or --xen-config FILE)"
        )
    if boot.profile.efi_drops_memory_nodes and boot.iommu:
        how = (
            "through EFI: this release deletes the memory nodes and offers RAM itself"
            if boot.options.efi
            else ("without EFI: through EFI (--efi) this release would offer RAM itself")
        )
        notes.append(f"booted {how} (fixed by 53701ecb8f)")
    return notes


def _flask_note(boot: Boot) -> Iterator[str]:
    presumed = "XSM_FLASK_POLICY" in boot.build.presumed and policy_module(boot.info) is None
    if presumed and flask_wanted(boot.host.args, boot.build) and boot.host.args.flask == "enforcing":
        yield (
            "FLASK: Xen is taken to be built with a policy (CONFIG_XSM_FLASK_POLICY), without which it stops here; Debian's "
            "has none (--xen-build debian or --xen-config FILE)"
        )


def _gic_notes(boot: Boot) -> Iterator[str]:
    """Say what only the interrupt controller's registers tell."""
    gic, platform = gic_node(boot.host.tree.root), platform_of(boot.host.tree)
    if gic is not None:
        yield from _cells_note(boot, gic)
    highest, known = boot.nodes.spi, boot.options.gic_lines is not None or platform.gic_lines(gic) is not None
    if not known and highest >= _FEW_LINES:
        yield f"interrupt controller: taken to serve interrupt {highest}, the highest that the tree names (--gic-lines)"
    for frame in v2m_frames(gic, platform.v2m_spis) if gic is not None else ():
        if not frame.spis:
            yield (
                f"MSI frame {frame.node.path}: its registers say which SPIs it has, the tree does not; a device with a "
                "level interrupt among them would stop Xen"
            )


def _cells_note(boot: Boot, gic: Node) -> Iterator[str]:
    """make_gic_node writes the cells that Xen itself reads, and leaves the specifiers of dom0's devices as they are."""
    prop = gic.prop("#interrupt-cells")
    if prop is None or prop.u32 in (None, _GIC_CELLS):
        return
    dt = boot.own_irqs.irqs.dt
    cut = [node for node in boot.host.tree.root if len(dt.raw_irqs(node)) > 1 and boot.nodes.is_kept(node)]
    if cut:
        yield (
            f"interrupts: those of the host have {prop.u32} cells, and Xen tells dom0 {_GIC_CELLS}, so that Linux takes all "
            f"but the first of {counted(len(cut), 'device')} for others (not modelled); {cut[0].path} is one"
        )

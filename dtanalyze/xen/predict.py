"""What one release of Xen does with one host tree, up to the trees it writes for its domains.

The stages of the boot say whether it comes so far (`start_xen`); the regions are computed even when something stops Xen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypedDict

from dtanalyze.address.units import KIB, MIB, format_size
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import UsageError
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.boot_notes import boot_notes, scan_notes
from dtanalyze.xen.bootinfo import BootInfo
from dtanalyze.xen.build import Build
from dtanalyze.xen.command_line import xen_bootargs
from dtanalyze.xen.dom0less import DomU, device_tree_module
from dtanalyze.xen.domain_build import GUEST_GNTTAB
from dtanalyze.xen.domu_tree import domu_blob, domu_tree
from dtanalyze.xen.efi_stub import reads_config, started_by_efi
from dtanalyze.xen.guest_tree import with_command_line, with_memory
from dtanalyze.xen.handle_node import HostNodes
from dtanalyze.xen.host import Host
from dtanalyze.xen.hypervisor_node import domu_regions, written_domu_tree
from dtanalyze.xen.libxl import extended_regions, guest_memory, toolstack_domu
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.parse_params import parse_bootargs
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Stage, Stop
from dtanalyze.xen.start_xen import Run, open_questions, reach, stages_of, start_with_other_ram, start_xen
from dtanalyze.xen.toolstack import Iomem, Toolstack
from dtanalyze.xen.unmodelled import unmodelled

__all__ = ["predict", "prepare"]


def prepare(tree: Tree, options: XenOptions) -> Host:
    """Return the host as Xen finds it; ``options.memory``, or the log's RAM, replaces the tree's memory nodes.

    Xen's own EFI loader comes first; the command line that a log has is the one that counted.
    """
    _same_domains(tree, options)
    efi = options.efi_config
    if efi is not None and reads_config(tree, efi):
        tree = started_by_efi(tree, efi)
    else:
        efi = None
    said = _logged_line(tree, options)
    if said is not None:
        tree = parse(with_command_line(tree, said))
    args = parse_bootargs(xen_bootargs(tree))
    if options.memory:
        tree = parse(with_memory(tree, options.memory))
    return Host(tree, args, efi)


def _logged_line(tree: Tree, options: XenOptions) -> str | None:
    """Return Xen's command line as a log has it, None where it says nothing new: a log may have cut what the tree has."""
    printed = options.log.console.command_line if options.log is not None else None
    if printed is None or _compact(xen_bootargs(tree)).startswith(_compact(printed.value)):
        return None
    return printed.value


def _compact(line: str) -> str:
    return "".join(line.split())  # where a log is wrapped, blanks are a guess


def _same_domains(tree: Tree, options: XenOptions) -> None:
    """Raise `UsageError` when a partial tree is given for a domain that the tree does not describe."""
    chosen = tree.root.child("chosen")
    nodes = [node for node in (chosen.children if chosen else ()) if node.is_compatible("xen,domain")]
    known = {name for node in nodes for name in (node.name, node.path)} | {guest.name for guest in options.toolstack}
    for name, _ in options.partial_trees:
        if name not in known:
            there = ", ".join(node.name for node in nodes) or "none"
            raise UsageError(f"a partial tree is given for '{name}', and the domains of /chosen are {there}")


def predict(host: Host, profile: XenProfile, options: XenOptions) -> tuple[Prediction, ...]:
    """Return what this release does for each domain: dom0 first, then those in /chosen, then the toolstack's.

    What stops one of them stops them all: Xen panics.
    """
    boot = Boot(host, profile, options)
    run = start_xen(boot)
    found = _domains(boot, run)
    unless = run.stop.unless if run.stop is not None else ""
    if not unless:
        return found
    beyond = Boot(host, profile, options, more_ram=True)
    going_on = _domains(beyond, start_xen(beyond))
    return tuple(
        stopped._replace(when=f"unless {unless}", others=(*stopped.others, other._replace(when=f"if {unless}", others=())))
        for stopped, other in zip(found, going_on, strict=True)
    )


def _domains(boot: Boot, run: Run) -> tuple[Prediction, ...]:
    told = _told(boot, run)
    found = [_dom0(boot, told)._replace(others=_other_starts(boot, run))] if boot.has_dom0 else []
    found += [_domu(boot, told, domu) for domu in boot.domus]
    found += [_libxl(boot, told, guest) for guest in _guests(boot.options)]
    return tuple(found)


def _dom0(boot: Boot, told: _Told) -> Prediction:
    placed, (grant, grant_note) = boot.dom0_memory, boot.grant_table
    method, regions = boot.dom0_regions
    return Prediction(
        **told.shared,
        domain="dom0",
        method=method,
        memory=placed.banks,
        memory_known=placed.known,
        grant_table=grant,
        regions=regions,
        blob=boot.dom0_blob,
        assumed=(
            f"Xen {boot.profile.name}",
            *told.boot,
            placed.note,
            *grant_note,
            *told.scan,
        ),
    )


def _other_starts(boot: Boot, run: Run) -> tuple[Prediction, ...]:
    return tuple(_dom0(other, _told(other, start_with_other_ram(other, run))) for other in boot.other_starts)


class _Shared(TypedDict):
    """What holds for every domain of one boot."""

    xen: str
    iommu: bool
    info: BootInfo
    stopped_by: Stop | None
    nodes: HostNodes
    stages: tuple[tuple[Stage, Outcome], ...]
    arch: str
    total: int
    has_dom0: bool


class _Told(NamedTuple):
    """What is said of every domain of one boot: facts, what they rest on, and what the scan left out."""

    shared: _Shared
    boot: tuple[str, ...]
    scan: tuple[str, ...]


def _told(boot: Boot, run: Run) -> _Told:
    notes = (reach(boot, run), *open_questions(run), *unmodelled(boot), *boot_notes(boot))
    return _Told(_shared(boot, run), notes, tuple(scan_notes(boot)))


def _shared(boot: Boot, run: Run) -> _Shared:
    return {
        "xen": boot.profile.name,
        "iommu": boot.iommu,
        "info": boot.info,
        "stopped_by": run.stop,
        "nodes": boot.nodes,
        "stages": run.stages,
        "arch": boot.arch,
        "total": len(stages_of(boot)),
        "has_dom0": boot.has_dom0,
    }


def _domu(boot: Boot, told: _Told, domu: DomU) -> Prediction:
    method, regions = domu_regions(boot, domu)
    return Prediction(
        **told.shared,
        domain=domu.node.path,
        method=method,
        memory=domu.memory,
        memory_known=True,
        grant_table=GUEST_GNTTAB,
        regions=regions,
        blob=domu_blob(written_domu_tree(boot, domu)),
        assumed=(
            f"Xen {boot.profile.name}",
            *told.boot,
            _p2m_note(domu),
            *_unsaid(domu, boot.build),
            *_partial_notes(boot, domu),
            *told.scan,
        ),
        domu=domu,
    )


def _libxl(boot: Boot, told: _Told, guest: Toolstack) -> Prediction:
    memory = guest_memory(guest.size)
    regions = extended_regions(boot.profile, memory, [item for each in guest.iomem if (item := each.range)], boot.ipa_bits)
    domu, partial = toolstack_domu(guest)
    tree = domu_tree(boot.host.tree, domu, boot.profile, GUEST_GNTTAB, regions.ranges, partial=partial)
    return Prediction(
        **told.shared,
        domain=f"libxl:{guest.name}",
        method="guest-layout",
        memory=memory,
        memory_known=True,
        grant_table=GUEST_GNTTAB,
        regions=regions,
        blob=domu_blob(tree),
        assumed=(
            f"Xen {boot.profile.name}, a guest of the toolstack",
            *told.boot,
            *_toolstack_notes(guest),
        ),
        domu=domu,
        toolstack=guest,
    )


def _toolstack_notes(guest: Toolstack) -> Iterator[str]:
    """Say what of the guest's configuration is not at hand."""
    if guest.device_tree is not None and guest.partial is None:
        yield f"partial tree of {guest.name}: {guest.device_tree} is not at hand (--partial-dtb {guest.name}=FILE)"


def _guests(options: XenOptions) -> Iterator[Toolstack]:
    """Yield the toolstack's guests: those given by size, then those given by their configuration."""
    iomem = tuple(Iomem(item.start, item.start, item.size) for item in options.iomem)
    for size in options.guests:
        yield Toolstack(format_size(size).replace(" ", ""), size, iomem=iomem)
    for guest in options.toolstack:
        given = next((tree for name, tree in options.partial_trees if name == guest.name), guest.partial)
        yield guest._replace(partial=given)


def _unsaid(domu: DomU, build: Build) -> list[str]:
    """Say what is taken for granted of this domain."""
    notes = []
    if domu.static and "STATIC_MEMORY" in build.presumed:
        notes.append(
            "static memory: Xen is taken to be built with CONFIG_STATIC_MEMORY, which is off by default "
            "(--xen-build stock or --xen-config FILE)"
        )
    return notes


def _partial_notes(boot: Boot, domu: DomU) -> Iterator[str]:
    """Say what is known of the domain's partial tree."""
    module, given = device_tree_module(domu.node), boot.partial_of(domu)
    if given is not None:
        copied = boot.partials[domu.node.path][1]
        yield f"partial tree of {domu.node.name}: {given.name}, which maps {len(copied.assigned)} ranges"
        if copied.ignored:
            said = "; ".join(copied.ignored)
            yield f'partial tree of {domu.node.name}: Xen prints "{said}" and writes what follows into the node it left'
    elif module is not None:
        yield (
            f"partial tree of {domu.node.name}: {module.path} is not at hand, so that what it passes through is not known "
            f"(--partial-dtb {domu.node.name}=FILE)"
        )


def _p2m_note(domu: DomU) -> str:
    """Say how much scratch space the domain's P2M pool can map: one page table page for each 2 MiB of it.

    domain_p2m_pages sets 256 pages for each vCPU, one for each MiB of RAM and 128 for extended regions.
    """
    if domu.p2m_mb is None:
        return "P2M pool: Xen's default, which holds page tables for 256 MiB of scratch mappings (xen,domain-p2m-mem-mb)"
    tables = domu.p2m_mb * MIB // (4 * KIB) - 256 * domu.cpus - sum(item.size for item in domu.memory) // MIB
    return f"P2M pool: {domu.p2m_mb} MiB, about {format_size(max(tables, 0) * 2 * MIB)} of scratch mappings beside the rest"

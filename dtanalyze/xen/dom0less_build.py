"""What stops Xen while it builds the domains of /chosen, one after another, dom0 being built already.

Mirrors create_domUs and construct_domU (arch/arm/domain_build.c in 4.17, arch/arm/dom0less-build.c up to 4.20, then
common/device-tree/dom0less-build.c), allocate_memory and domain_vpl011_init. RAM is judged only where it cannot be enough,
since where Xen's allocator puts it is not followed for guests. Left out: what a kernel image contains, SVE lengths,
the RAM and the tree of a hardware domain of /chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.address.units import KIB, counted, format_size
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.dom0less import (
    CAPS_XENSTORE,
    DomU,
    device_tree_module,
    find_by_addr_and_kind,
    first_cell,
    has_device_tree_after,
    shared_memory,
)
from dtanalyze.xen.dom0less_bindings import Refused, no_console, parse_dom0less_node
from dtanalyze.xen.dt_property import EINVAL, dt_property_read_string
from dtanalyze.xen.fdt_sw import INITRD_SIZE, bytes_needed
from dtanalyze.xen.guest_memory import free_bytes, no_memory, p2m_pool
from dtanalyze.xen.hypervisor_node import domu_regions, search_crash, written_domu_tree
from dtanalyze.xen.irq import FIRST_SPI
from dtanalyze.xen.kernel import Mapped, copied_into_a_hole, onto_a_device, place_modules, read_from_nowhere, unmapped
from dtanalyze.xen.llc_coloring import bad_color_config, max_nr_colors
from dtanalyze.xen.stage import DATA_ABORT, Open, Outcome, Passed, Stop
from dtanalyze.xen.static_memory import static_memory_failure
from dtanalyze.xen.vcpu_affinity import domain_vcpu_affinity
from dtanalyze.xen.vgic import vgic_max_vcpus, vgic_v3_served
from dtanalyze.xen.vmap import vmap_of_gic

__all__ = ["create_domUs", "domains"]

_GUEST_PL011_SIZE: Final = 4 * KIB
_SPIS_AT_ONCE: Final = 32
_MAX_SPIS: Final = (1020 - FIRST_SPI) // _SPIS_AT_ONCE * _SPIS_AT_ONCE
"""A GIC has 988, and domain_vgic_init counts in whole ranks of 32."""
_GRANT_VERSION: Final = 1
_TREE_MOST: Final = 2 << 20
_EINVAL, _ENOENT, _ENOMEM, _NOSPACE = -22, -2, -12, -3


def domains(boot: Boot) -> Outcome:
    """Return what becomes of all domains of /chosen: made, loaded, and their regions looked for."""
    stop = _not_built(boot) or create_domUs(boot) or _into_a_hole(boot)
    crashes = (search_crash(boot, domu_regions(boot, domu)[1], domu.node.path) for domu in boot.domus)
    stop = stop or next((crash for crash in crashes if crash), None)
    return stop or _past_the_redistributors(boot) or Passed((counted(len(boot.domus), "domain"),))


def create_domUs(boot: Boot) -> Stop | None:  # noqa: N802  # upstream's name
    """Return what stops Xen over a domain of /chosen, in the order in which they are built."""
    for domu in boot.domus:
        refused = next(_refusals(boot, domu), None)
        if refused is not None:
            path = domu.node.path
            return Stop("domains", refused.lines, refused.because, path, path, unless=refused.unless)
    served = boot.has_dom0 or any(domu.capabilities & CAPS_XENSTORE for domu in boot.domus)
    wanting = next((domu for domu in boot.domus if domu.xenstore), None)
    if wanting is not None and not served and not boot.profile.xenstore_needs_dom0:
        because = f"{wanting.node.path} wants a xenstore, and no domain serves one"
        return Stop("domains", ("xenstore requested, but xenstore domain not present",), because, wanting.node.path)
    return None


def _into_a_hole(boot: Boot) -> Stop | None:
    """Return what Xen dies of when it loads a domain whose static memory is no RAM of the tree there."""
    for domu in boot.domus if boot.ram_known else ():
        address = copied_into_a_hole(boot.info, domu.node.path)
        if address is not None:
            because = f"xen,static-mem of {domu.node.path} is not all RAM: Xen copies a module to {address:#x}"
            return Stop("domains", (DATA_ABORT,), because, domu.node.path, domu.node.path)
    return None


def _past_the_redistributors(boot: Boot) -> Open | None:
    """vgic_v3_domain_init of releases that do not look counts one region more than there are, and the domain is told of it.

    It lies past Xen's table of them: what the tree then says is whatever stands in Xen's heap there.
    """
    served = None if boot.profile.redistributors_bounded else vgic_v3_served(boot.host.tree.root)
    domu = next((item for item in boot.domus if item.direct_map and served is not None and item.cpus > served), None)
    if domu is None:
        return None
    because = (
        f"{domu.node.path} has the host's layout and {counted(domu.cpus, 'CPU')}, of which the redistributors of the host's "
        f"interrupt controller serve {served}: the others get none, and the last region of redistributors in its tree is no "
        "more than what Xen's memory held"
    )
    return Open(because, "fewer `cpus`, or Xen 4.20.4, 4.21.2, 4.22 or newer, which refuse it")


def _not_built(boot: Boot) -> Stop | None:
    """Return what a build without static memory says of the first domain that wants it."""
    domu = next((item for item in boot.domus if item.static), None)
    if domu is None or boot.build.has("STATIC_MEMORY"):
        return None
    name, path = domu.node.base_name, domu.node.path
    lines: tuple[str, ...] = (f"direct-map is not valid for domain {name} without static allocation.",)
    if not domu.direct_map:
        lines = ("Device tree generation failed (-2).", boot.profile.gives_up(f"Could not set up domain {name}", -22))
    return Stop("domains", lines, f"{boot.build.name} has no CONFIG_STATIC_MEMORY", path, path)


def _refusals(boot: Boot, domu: DomU) -> Iterator[Refused]:
    yield from parse_dom0less_node(boot, domu)
    yield from _not_created(boot, domu)
    yield from _not_constructed(boot, domu)


def _not_created(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """domain_create: what arch_sanitise_domain_config, vgic_init and the grant table refuse."""
    line = (boot.profile.gives_up(f"Error creating domain {domu.node.base_name}", _EINVAL),)
    if not boot.profile.passthrough_without_iommu and not boot.iommu and has_device_tree_after(boot.host.tree, domu.node):
        because = f"{domu.node.path} or a domain after it has a partial tree, which takes an IOMMU in this release"
        yield Refused(line, because)
    most = vgic_max_vcpus(boot.host.tree.root)
    if domu.wanted_cpus is None or not 1 <= domu.wanted_cpus <= most:
        yield Refused(line, f"it has {domu.wanted_cpus} CPUs, and may have 1 to {most}")
    if domu.nr_spis is not None and domu.nr_spis > _MAX_SPIS:
        yield Refused(line, f"nr_spis is {domu.nr_spis}, and a domain may have {_MAX_SPIS}")
    lines = boot.options.gic_lines or 0
    if domu.nr_spis is None and lines - FIRST_SPI > _MAX_SPIS and not boot.profile.domu_spis_bounded:
        because = f"{domu.node.path} is to have the {lines - FIRST_SPI} SPIs of the host, and may have {_MAX_SPIS} (nr_spis)"
        yield Refused(line, because)
    if not boot.profile.domu_grant_limits:
        return
    if first_cell(domu.node, "max_grant_frames") == 0:
        yield Refused(line, "max_grant_frames is 0, and Xen makes no domain without a grant table")
    version = first_cell(domu.node, "max_grant_version")
    if version not in (None, _GRANT_VERSION):
        yield Refused(line, f"max_grant_version is {version}, and Xen on Arm has version {_GRANT_VERSION} only")
    colors = dt_property_read_string(domu.node, "llc-colors") if boot.llc_coloring else EINVAL
    if isinstance(colors, str) and bad_color_config(colors, max_nr_colors(boot.host.args)):
        panic = f"Error initializing LLC coloring for domain {domu.node.base_name} (rc = -22)"
        yield Refused((panic,), f'llc-colors = "{colors}" of {domu.node.path}')


def _not_constructed(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """construct_domU."""
    given_up = f"Could not set up domain {domu.node.base_name}"
    profile = boot.profile
    if domu.size is None:
        lines = ('Error building DomU: cannot read "memory" property', profile.gives_up(given_up, _EINVAL))
        yield Refused(lines, f"{domu.node.path} states no 64 bits of memory, in KiB")
    pool = p2m_pool(domu)
    if boot.ram_known and pool > free_bytes(boot, domu):
        because = f"page tables of {domu.node.path} are to have {format_size(pool)}, and the host has less than that left"
        yield Refused(("Failed to allocate P2M pages.", profile.gives_up(given_up, _ENOMEM)), because)
    if domu.xenstore and profile.xenstore_needs_dom0 and not boot.has_dom0:
        line = "At the moment, Xenstore support requires dom0 to be present"
        yield Refused((line,), f"{domu.node.path} is enhanced, and there is no dom0")
    if _served(boot, domu) == 0:
        yield Refused((profile.gives_up(given_up, _ENOMEM),), _no_redistributors(boot, domu))
    kernel = find_by_addr_and_kind(boot.info, domu.node, "Kernel")
    if boot.info.modules and (kernel is None or not kernel.size):
        lines = ("Missing kernel boot module?", profile.gives_up(given_up, _ENOENT))
        yield Refused(lines, f"no module below {domu.node.path} is a kernel that Xen knows")
    yield from _from_nowhere(boot, domu, "Kernel")
    if domu.is_hardware_domain:
        yield from _hardware_devices(boot, domu, given_up)
    else:
        yield from _filled(boot, domu, given_up)
    yield from _no_redistributor(boot, domu, given_up)
    yield from domain_vcpu_affinity(boot, domu)
    yield from _second_xenstore(boot, domu)


def _served(boot: Boot, domu: DomU) -> int:
    """Return how many of the domain's CPUs get a redistributor: only the host's layout has too few, where Xen looks."""
    host_layout = domu.direct_map or domu.is_hardware_domain
    served = vgic_v3_served(boot.host.tree.root) if host_layout and boot.profile.redistributors_bounded else None
    return domu.cpus if served is None else min(served, domu.cpus)


def _no_redistributor(boot: Boot, domu: DomU, given_up: str) -> Iterator[Refused]:
    """construct_domain makes the CPUs after the first (vgic_v3_vcpu_init)."""
    served = _served(boot, domu)
    if served < domu.cpus:
        lines = (f"Failed to allocate {boot.called(domu)}v{served}", boot.profile.gives_up(given_up, _ENOMEM))
        yield Refused(lines, _no_redistributors(boot, domu))


def _no_redistributors(boot: Boot, domu: DomU) -> str:
    return (
        f"{domu.node.path} has the host's layout and {counted(domu.cpus, 'CPU')}, "
        f"and the redistributors of the host's interrupt controller serve {_served(boot, domu)}"
    )


def _filled(boot: Boot, domu: DomU, given_up: str) -> Iterator[Refused]:
    """What a domain gets: RAM, shared memory, a UART, a tree, and the place for its modules."""
    profile = boot.profile
    if domu.static or domu.node.prop("xen,static-mem") is not None:
        failure = static_memory_failure(domu, profile, boot.called(domu))
        if failure is not None:
            yield Refused(*failure)
    else:
        yield from no_memory(boot, domu)
    yield from (Refused((*item.lines, profile.gives_up(given_up, _EINVAL)), item.because) for item in _shm(boot, domu))
    yield from _no_vpl011(boot, domu, given_up)
    yield from _from_nowhere(boot, domu, "DTB")
    yield from _no_tree(boot, domu, given_up)
    yield from _no_place(boot, domu)
    yield from _from_nowhere(boot, domu, "Ramdisk")


def _from_nowhere(boot: Boot, domu: DomU, kind: str) -> Iterator[Refused]:
    """A module of one kind is read where Xen is told that it lies, RAM or not."""
    for item in boot.info.modules:
        if item.kind == kind and item.node.rpartition("/")[0] == domu.node.path:
            stop = read_from_nowhere(boot.info, item, "domains", more_ram=boot.more_ram)
            if stop is not None:
                yield Refused(stop.lines, stop.because, stop.unless)


def _hardware_devices(boot: Boot, domu: DomU, given_up: str) -> Iterator[Refused]:
    """construct_hwdom gives it the host's devices, as dom0 would get them."""
    for failure in boot.hardware_nodes(domu).failures[:1]:
        said = (f"Device tree generation failed ({failure.rc}).", boot.profile.gives_up(given_up, _EINVAL))
        yield Refused(failure.lines if failure.kind == "cells" else (*failure.lines, *said), failure.because)




def _shm(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """process_shm: up to 4.18 one address too few means a size that is no size; 4.19 looks at direct-mapped domains."""
    called = boot.called(domu)
    if boot.build.has("STATIC_SHM") and not boot.profile.shm_without_host_address:
        counts = inherited_cells(domu.node, CellCounts(2, 1))
        for node, prop in shared_memory(domu.node):
            if len(prop.cells) < 2 * counts.address + counts.size:
                yield Refused((), f"xen,shared-mem of {node.path} gives one address, and this release wants two")
    for item in domu.shm if domu.direct_map and boot.profile.shm_direct_map_checked else ():
        if item.host is None:
            line = f"{called}: host and guest physical address must be supplied for direct-mapped domains"
            yield Refused((line,), f"xen,shared-mem of {item.node.path} gives one address")
        elif item.host != item.guest.start:
            where = f"physical address 0x{item.host:016x} and guest address 0x{item.guest.start:016x}"
            yield Refused((f"{called}: {where} are not direct-mapped.",), item.node.path)


def _no_vpl011(boot: Boot, domu: DomU, given_up: str) -> Iterator[Refused]:
    """domain_vpl011_init; 4.17 does not look at what it returns."""
    if not (domu.vpl011 and domu.direct_map):
        return
    profile, uart = boot.profile, boot.console_uart
    last = profile.gives_up(given_up, _EINVAL)
    if uart is None:
        line = "vpl011: Unable to re-use the Xen UART information."
        yield Refused((line, last if profile.uart_irq_checked else "Xen BUG at arch/arm/domain_build.c"), no_console(boot))
    elif uart.range.size < _GUEST_PL011_SIZE and profile.uart_irq_checked:
        line = "vpl011: Can't re-use the Xen UART MMIO region as it is too small."
        yield Refused((line, last), f"{boot.console.path if boot.console else ''} has {uart.range.size:#x} bytes")


def _no_tree(boot: Boot, domu: DomU, given_up: str) -> Iterator[Refused]:
    """prepare_dtb_domU."""
    copied = boot.partials.get(domu.node.path)
    partial = copied[1] if copied is not None else None
    if not domu.memory:
        yield _tree_failed(boot, given_up, _ENOENT, (), "it has no RAM")
    if boot.cpus_failure is not None:
        yield _tree_failed(boot, given_up, _ENOENT, (), boot.cpus_failure)
    if partial is not None and partial.rc:
        yield _tree_failed(boot, given_up, partial.rc, partial.lines, partial.because, of_partial=True)
    if not boot.profile.domu_hypervisor:
        return
    room = _room(boot, domu)
    needed = bytes_needed(written_domu_tree(boot, domu)) + _initrd(domu.node)
    if needed > room:
        because = f"its tree takes {needed} bytes with {domu.cpus} CPUs, and Xen has room for {room}"
        yield _tree_failed(boot, given_up, _NOSPACE, (), because)


def _no_place(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """kernel_load: kernel, tree and ramdisk go into the first bank; the tree is never larger than its step of 2 MiB."""
    kernel, ramdisk = (find_by_addr_and_kind(boot.info, domu.node, kind) for kind in ("Kernel", "Ramdisk"))
    if kernel is None or not domu.memory:
        return
    called = boot.called(domu)
    sizes = kernel.size, ramdisk.size if ramdisk else 0
    stop = place_modules(domu.memory[0], *sizes, 1)
    stop = stop or unmapped((kernel, ramdisk), vmap_of_gic(boot.host.tree.root), boot.profile.copies_to or called)
    mapped = [Mapped(item.start, item.stop, domu.node.path) for item in domu.passed_through]
    if stop is None and mapped:
        tree = bytes_needed(written_domu_tree(boot, domu)) + _initrd(domu.node)
        stop = onto_a_device(domu.memory[0], (*sizes, tree), boot.profile, mapped, called)
    if stop is not None:
        yield Refused(stop.lines, stop.because)


def _second_xenstore(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """set_xs_domain: dom0 is one, when there is a dom0."""
    if not domu.capabilities & CAPS_XENSTORE:
        return
    first = next(at for at, item in enumerate(boot.domus, 1) if item.capabilities & CAPS_XENSTORE)
    if boot.has_dom0 or boot.domus[first - 1] is not domu:
        number = 0 if boot.has_dom0 else first
        because = f"{domu.node.path} is to serve the xenstore, and d{number} does already"
        yield Refused((f"Only 1 xenstore domain can be specified! ({number})",), because)


def _initrd(node: Node) -> int:
    """Return what the place of a ramdisk takes in /chosen."""
    return INITRD_SIZE if any(child.is_compatible("multiboot,ramdisk") for child in node.children) else 0


def _tree_failed(
    boot: Boot, given_up: str, rc: int, lines: tuple[str, ...], because: str, *, of_partial: bool = False
) -> Refused:
    if of_partial and boot.profile.partial_errors_ignored_below:
        return Refused((*lines, boot.profile.gives_up(given_up, rc)), because)  # 4.17 says no more about it
    said = (*lines, f"Device tree generation failed ({rc}).")
    return Refused((*said, boot.profile.gives_up(given_up, _EINVAL)), because)


def _room(boot: Boot, domu: DomU) -> int:
    module = device_tree_module(domu.node)
    reg = module.prop("reg") if module is not None else None
    size = 0
    if module is not None and reg is not None and boot.profile.partial_size_added:
        counts = inherited_cells(domu.node, CellCounts(2, 1))
        size = read_number(reg.cells[counts.address : counts.address + counts.size])
    return min(boot.profile.domu_tree_size + size, _TREE_MOST)

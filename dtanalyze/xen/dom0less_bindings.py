"""What the node of a domain may not say: each of these is a panic of its own, before the domain is made.

Mirrors parse_dom0less_node and arch_parse_dom0less_node (common/device-tree/dom0less-bindings.c and
arch/arm/dom0less-build.c; up to 4.20 the head of create_domUs), in the order of 4.22; of two faults in one node older
releases may name the other first. Left out: a Xen for machines without an MMU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.xen.boot import Boot
from dtanalyze.xen.dom0less import CAPS_HARDWARE, CAPS_MASK, DomU, first_cell, has_device_tree_after
from dtanalyze.xen.dt_property import EINVAL, dt_property_read_string

__all__ = ["Refused", "no_console", "parse_dom0less_node"]

_INT32_MAX: Final = (1 << 31) - 1


class Refused(NamedTuple):
    """Xen's lines, the panic last, and the cause in our words; ``unless`` is as a `Stop` has it."""

    lines: tuple[str, ...]
    because: str = ""
    unless: str = ""


def parse_dom0less_node(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """Yield what Xen does not take, the first first."""
    yield from _capabilities(boot, domu)
    yield from _memory_and_cpus(boot, domu)
    if domu.capabilities & CAPS_HARDWARE:
        yield from _hardware(boot, domu)
    yield from _limits(boot, domu)
    yield from _firmware(boot, domu)
    yield from _no_host_uart(boot, domu)
    yield from _arch_switches(boot, domu)


def _capabilities(boot: Boot, domu: DomU) -> Iterator[Refused]:
    caps = domu.capabilities
    if caps & ~CAPS_MASK:
        yield Refused((f"Invalid capabilities ({caps:x})",), f"only the bits of {CAPS_MASK:#x} mean something")
    if not caps & CAPS_HARDWARE:
        return
    if boot.has_dom0:
        yield Refused(("Only 1 hardware domain can be specified! (d0)",), "dom0 is one already")
    first = next(item for item in boot.domus if item.capabilities & CAPS_HARDWARE)
    if first is not domu:
        yield Refused((f"Only 1 hardware domain can be specified! ({boot.called(first)})",))


def _memory_and_cpus(boot: Boot, domu: DomU) -> Iterator[Refused]:
    node, name = domu.node, domu.node.base_name
    static = domu.static or node.prop("xen,static-mem") is not None
    if static and boot.llc_coloring:
        yield Refused(("LLC coloring and static memory are incompatible",), f"{node.path} has xen,static-mem")
    if domu.direct_map and not static:
        yield Refused(
            (f"direct-map is not valid for domain {name} without static allocation.",), "it has no xen,static-mem"
        )
    if domu.wanted_cpus is None:
        yield Refused((f"Missing property 'cpus' for domain {name}",))


def _hardware(boot: Boot, domu: DomU) -> Iterator[Refused]:
    if isinstance(dt_property_read_string(domu.node, "passthrough"), str):
        yield Refused(("Don't specify passthrough for hardware domain",))
    if not domu.direct_map and not boot.iommu:
        because = "it has the host's devices and other addresses than the host's"
        yield Refused(("non-direct mapped hardware domain requires iommu",), because)
    if has_device_tree_after(boot.host.tree, domu.node):
        yield Refused(('"multiboot,device-tree" incompatible with hardware domain',))


def _limits(boot: Boot, domu: DomU) -> Iterator[Refused]:
    pool_id = boot.cpupools.domain_pool_id(domu.node)
    if pool_id < 0:
        because = f"domain-cpupool of {domu.node.path} names no pool with CPUs that Xen knows"
        yield Refused((f"Error getting cpupool id from domain-cpupool ({pool_id})",), because)
    for limit in ("max_grant_frames", "max_maptrack_frames") if boot.profile.domu_grant_limits else ():
        value = first_cell(domu.node, limit)
        if value is not None and value > _INT32_MAX:
            yield Refused((f"{limit} ({value}) overflow",))
    colors = dt_property_read_string(domu.node, "llc-colors") if boot.profile.llc_coloring else EINVAL
    if isinstance(colors, str) and not boot.llc_coloring:
        yield Refused(("'llc-colors' found, but LLC coloring is disabled",))


def _firmware(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """domu_dt_sci_parse and domu_dt_v8r_el1_msa_parse."""
    value = dt_property_read_string(domu.node, "xen,sci_type") if boot.profile.domu_sci else EINVAL
    if value != EINVAL:
        lines = _sci_lines(boot, domu, value)
        if lines is not None:
            yield Refused((*lines, "Error getting SCI configuration"), f"xen,sci_type of {domu.node.path}")
    if boot.profile.domu_v8r_el1_msa and domu.node.prop("v8r_el1_msa") is not None:
        line = f"v8r_el1_msa not supported on this build for domain {domu.node.path}"
        yield Refused((line, "Error getting v8r_el1_msa configuration"), "it is for machines without an MMU")


def _sci_lines(boot: Boot, domu: DomU, value: str | int) -> tuple[str, ...] | None:
    if value == "none" or (value == "scmi_smc" and boot.build.has("SCMI_SMC")):
        return None
    if value == "scmi_smc":
        return ("xen,sci_type=scmi_smc requested, but CONFIG_SCMI_SMC not set",)
    return (f"xen,sci_type in not valid ({value}) for domain {domu.node.base_name}",) if isinstance(value, str) else ()


def _no_host_uart(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """A direct-mapped domain's emulated UART has the interrupt of Xen's console, asked for with or without vpl011."""
    if domu.node.prop("nr_spis") is not None:
        if domu.is_hardware_domain:
            yield Refused(("nr_spis cannot be specified for hardware domain",))
    elif domu.direct_map and boot.profile.uart_irq_checked and boot.console_irq is None:
        yield Refused(("Error getting IRQ number for this serial port 0",), no_console(boot))


def no_console(boot: Boot) -> str:
    """Say why there is no console whose interrupt a direct-mapped domain could take."""
    return f"{boot.console_found.because}, and a direct-mapped domain takes the interrupt of Xen's console"


def _arch_switches(boot: Boot, domu: DomU) -> Iterator[Refused]:
    node, profile = domu.node, boot.profile
    if profile.domu_grant_limits and node.prop("sve") is not None and not boot.build.has("ARM64_SVE"):
        yield Refused(("'sve' property found, but CONFIG_ARM64_SVE not selected",), "which is off by default")
    trap = first_cell(node, "trap-unmapped-accesses") if profile.domu_trap_switch else None
    if trap is not None and trap > 1:
        yield Refused(("trap-unmapped-accesses: supported values are 0 or 1",), f"{node.path} says {trap}")

"""How Xen boots: every stage that can refuse, in the order in which they run.

Mirrors start_xen (arch/arm/setup.c), create_dom0 and construct_dom0 (arch/arm/domain_build.c) and create_domUs
(arch/arm/dom0less-build.c, from 4.21 common/device-tree/dom0less-build.c) as a list. What a stage decides stands in the
mirror that it names; here is only in which order they are asked, and with what.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.units import format_size
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.dom0less import what_stops
from dtanalyze.xen.hypervisor_node import console_registers, dom0_regions, domu_regions
from dtanalyze.xen.regions import Regions
from dtanalyze.xen.stage import Outcome, Passed, Stage, Stop
from dtanalyze.xen.vgic import vgic_max_vcpus

__all__ = ["STAGES", "Run", "start_xen"]


class Run(NamedTuple):
    """The stages that ran, each with its outcome; the last is the one that refuses, if one does."""

    stages: tuple[tuple[Stage, Outcome], ...]

    @property
    def stop(self) -> Stop | None:
        """What stops Xen, if something does."""
        last = self.stages[-1][1] if self.stages else None
        return last if isinstance(last, Stop) else None


def start_xen(boot: Boot) -> Run:
    """Run the stages until one refuses."""
    return Run(tuple(_until_stop(boot)))


def _until_stop(boot: Boot) -> Iterator[tuple[Stage, Outcome]]:
    for stage in STAGES:
        outcome = stage.run(boot)
        yield stage, outcome
        if isinstance(outcome, Stop):
            return


def _boot_scan(boot: Boot) -> Outcome:
    info = boot.info
    if info.panic is not None:
        return Stop(
            "boot-scan", (info.panic,), f"at {info.stopped_at}" if info.stopped_at else "", info.stopped_at, silent=True
        )
    if info.stopped_at is not None and not info.mem:
        because = f"the scan of the tree ends at {info.stopped_at} without a word, and no RAM is seen"
        return Stop("boot-scan", (), because, info.stopped_at)
    wrapping = next((bank.node for bank in info.mem if bank.wraps), None)
    if wrapping is not None:
        because = f"the RAM of {wrapping} runs past the end of the address space, where Xen cannot map it"
        return Stop("boot-scan", (), because, wrapping)
    return Passed((_count(len(info.mem), "bank") + " of RAM", _count(len(info.reserved_mem), "reserved bank")))


def _modules(boot: Boot) -> Outcome:
    kernels = [path for path in boot.info.dropped if _is_kernel(boot, path)]
    if kernels:
        because = f"the module {kernels[0]} overlaps reserved memory, Xen, the tree itself or another module, and is dropped"
        return Stop("modules", ("Missing kernel boot module?",), because, kernels[0])
    return Passed((_count(len(boot.info.modules), "module"),))


def _is_kernel(boot: Boot, path: str) -> bool:
    node = boot.host.tree.find(path)
    return node is not None and (node.is_compatible("multiboot,kernel") or node.is_compatible("xen,linux-zimage"))


def _dom0_cpus(boot: Boot) -> Outcome:
    """What Xen says of a dom0_max_vcpus= beyond what the GIC can serve; the host's own number never is."""
    most, vcpus = vgic_max_vcpus(boot.host.tree.root), boot.dom0_vcpus
    if not boot.host.args.dom0_max_vcpus or vcpus <= most:
        return Passed((_count(vcpus, "CPU") + " for dom0",))
    line = boot.profile.gives_up("Error creating domain 0", -22)
    return Stop("dom0-cpus", (line,), f"dom0_max_vcpus asks for {vcpus} CPUs, and a domain may have {most}")


def _dom0_memory(boot: Boot) -> Outcome:
    placed = boot.dom0_memory
    size = sum(bank.size for bank in placed.banks)
    return placed.stop or Passed((f"{format_size(size)} in {_count(len(placed.banks), 'bank')}",))


def _dom0_devices(boot: Boot) -> Outcome:
    stop = boot.nodes.stop(boot.profile) or _search_crash(boot, dom0_regions(boot)[1], "dom0")
    return stop or Passed((_count(len(boot.nodes.fates), "node"),))


def _search_crash(boot: Boot, regions: Regions, domain: str) -> Stop | None:
    """Return what Xen does when its search crashes; without RAM nothing is said, as its node may be the cause."""
    if regions.error != "crash" or not boot.ram_known:
        return None
    because = f"Xen crashes while it looks for the extended regions of {domain}: {regions.message}"
    return Stop("dom0-devices", (), because, domain=None if domain == "dom0" else domain)


def _domains(boot: Boot) -> Outcome:
    stop = what_stops(boot.domus, boot.info, boot.profile, console_registers(boot), dom0=boot.has_dom0)
    crashes = (_search_crash(boot, domu_regions(boot, domu)[1], domu.node.path) for domu in boot.domus)
    return stop or next((crash for crash in crashes if crash), None) or Passed((_count(len(boot.domus), "domain"),))


def _of_dom0(run: Callable[[Boot], Outcome]) -> Callable[[Boot], Outcome]:
    """Return the stage as it runs where there is a dom0."""
    return lambda boot: run(boot) if boot.has_dom0 else Passed(("no dom0",))


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


STAGES: Final = (
    Stage("boot-scan", "boot_fdt_info", _boot_scan),
    Stage("modules", "add_boot_module", _modules),
    Stage("dom0-cpus", "create_dom0", _of_dom0(_dom0_cpus)),
    Stage("dom0-memory", "allocate_memory_11", _of_dom0(_dom0_memory)),
    Stage("dom0-devices", "handle_node, make_hypervisor_node", _of_dom0(_dom0_devices)),
    Stage("domains", "create_domUs", _domains),
)
"""The table of contents of a boot."""

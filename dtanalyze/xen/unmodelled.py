"""What can stop Xen and is not modelled here, and what in a tree, a line or a build tells that it may matter.

Each trigger stands for rows of the account of refusals (`refusals`). One whose trigger is there is said under *Assumed*: an
all-clear never rests in silence on a stage that nobody mirrored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.units import MIB, format_size
from dtanalyze.board.architecture import ARM32
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.llc_coloring import max_nr_colors
from dtanalyze.xen.page_alloc import PAGE_SHIFT, XenBug
from dtanalyze.xen.xsm import policy_module

__all__ = ["TRIGGERS", "Trigger", "unmodelled"]

_SMALL: Final = 4 * MIB
"""Xen's own structures take about 300 pages with a small tree (booted with 70 less: it died in scheduler_init)."""


class Trigger(NamedTuple):
    """``what`` is not modelled where ``found`` returns something: what tells, as words of the report.

    ``words`` are options of Xen's line that tell too; the line's own note names them.
    """

    name: str
    what: str
    found: Callable[[Boot], str | None]
    words: tuple[str, ...] = ()


def unmodelled(boot: Boot) -> Iterator[str]:
    """Yield a sentence for each trigger that the tree, the build or the way of booting holds."""
    for trigger in TRIGGERS:
        found = trigger.found(boot)
        if found is not None:
            yield f"not modelled: {trigger.what} ({found})"


def _never(boot: Boot) -> None:  # noqa: ARG001  # only Xen's line tells, and its own note says so
    return None


def _first(boot: Boot, *names: str) -> Node | None:
    return next((node for node in boot.host.tree.root if node.is_any_of(names)), None)


def _arm32(boot: Boot) -> str | None:
    return "a 32-bit machine" if boot.arch == ARM32 else None


def _kernel_image(boot: Boot) -> str | None:
    kernels = [item for item in boot.info.modules if item.kind == "Kernel" and item.size]
    if not kernels:
        return None
    where = kernels[0].node or "the kernel of the log"
    # kernel_decompress reads the length of what comes out from the module's last four bytes.
    return f"{where}: taken for an arm64 Image that is not compressed; where one is gzip'ed, reg has to end with the file"


def _its(boot: Boot) -> str | None:
    node = _first(boot, "arm,gic-v3-its") if boot.build.has("HAS_ITS") else None
    return node.path if node is not None else None


def _llc_coloring(boot: Boot) -> str | None:
    if not boot.llc_coloring:
        return None
    if max_nr_colors(boot.host.args) is None:
        return "llc-coloring=on: how many colours the cache has only the CPU knows"
    return "llc-size=: of each colour's RAM up to a tenth more may be gone than is counted"


def _many_banks(boot: Boot) -> str | None:
    many = boot.ram_known and len(boot.dom0_memory.banks) >= boot.profile.nr_mem_banks
    return f"dom0 has {len(boot.dom0_memory.banks)} banks" if many else None


def _sve(boot: Boot) -> str | None:
    if not boot.build.has("ARM64_SVE"):
        return None
    domain = next((item.node for item in boot.domus if item.node.prop("sve") is not None), None)
    return domain.path if domain is not None else "dom0=sve" if boot.host.args.dom0_sve else None


def _small_heap(boot: Boot) -> str | None:
    free = boot.free_memory
    if isinstance(free, XenBug) or not boot.ram_known:
        return None
    left = sum(stop - start for start, stop in free.regions) << PAGE_SHIFT
    return f"{format_size(left)} of it" if left < _SMALL else None


def _tee(boot: Boot) -> str | None:
    node = _first(boot, "linaro,optee-tz", "arm,ffa") if boot.build.has("TEE") else None
    return node.path if node is not None else None


def _flask(boot: Boot) -> str | None:
    policy = policy_module(boot.info) if boot.build.has("XSM_FLASK") else None
    return f"{policy.node}: Xen jumps to address 0 over one that is no policy, even without xsm=flask" if policy else None


def _hardware_domain(boot: Boot) -> str | None:
    domain = next((item for item in boot.domus if item.is_hardware_domain), None)
    return domain.node.path if domain is not None else None


TRIGGERS: Final = (
    Trigger("acpi", "booting from ACPI's tables", _never, ("acpi",)),
    Trigger("arm32", "how 32-bit Xen lays out its heap", _arm32),
    Trigger("kernel-image", "what a module holds", _kernel_image),
    Trigger("its", "the ITS of the interrupt controller", _its),
    Trigger(
        "llc-coloring",
        "the colours of the last-level cache",
        _llc_coloring,
        ("dom0-llc-colors", "xen-llc-colors", "buddy-alloc-size"),
    ),
    Trigger("many-banks", "a node of RAM that has no room for its banks", _many_banks),
    Trigger("pci-passthrough", "PCI devices that Xen drives itself", _never, ("pci-passthrough",)),
    Trigger("scmi", "SCMI for a domain", _never, ("scmi-smc-passthrough",)),
    Trigger("small-heap", "what of Xen itself finds no room in its heap", _small_heap),
    Trigger("sve", "how long SVE's vectors may be", _sve, ("dom0",)),
    Trigger("tee", "the mediator of a trusted OS", _tee, ("tee",)),
    Trigger("flask", "what a policy of FLASK holds", _flask, ("flask", "xsm")),
    Trigger("hardware-domain", "RAM, regions and tree of a hardware domain of /chosen", _hardware_domain),
)
"""All of them, in no order that matters."""

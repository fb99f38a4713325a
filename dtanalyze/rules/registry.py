"""All rules in one table, the hazards that no rule reports, and what a code stands for."""

from typing import Final

from dtanalyze.rules.boot_modules import BOOT_MODULES
from dtanalyze.rules.command_line import COMMAND_LINE
from dtanalyze.rules.dom0_memory import DOM0_MEMORY
from dtanalyze.rules.dom0less import DOM0LESS
from dtanalyze.rules.host_devices import HOST_DEVICES
from dtanalyze.rules.host_interrupts import HOST_INTERRUPTS
from dtanalyze.rules.host_memory import HOST_MEMORY
from dtanalyze.rules.hypervisor import HYPERVISOR
from dtanalyze.rules.layout import LAYOUT
from dtanalyze.rules.layout_overlaps import LAYOUT_OVERLAPS
from dtanalyze.rules.model import NotShown, Rule
from dtanalyze.rules.passthrough import PASSTHROUGH
from dtanalyze.rules.region_capacity import REGION_CAPACITY
from dtanalyze.rules.region_form import REGION_FORM
from dtanalyze.rules.region_overlaps import REGION_OVERLAPS
from dtanalyze.rules.region_reach import REGION_REACH

__all__ = ["ALL_RULES", "NOT_SHOWN"]

ALL_RULES: Final[tuple[Rule, ...]] = tuple(
    sorted(
        (
            *REGION_OVERLAPS,
            *REGION_FORM,
            *REGION_CAPACITY,
            *REGION_REACH,
            *HYPERVISOR,
            *LAYOUT,
            *LAYOUT_OVERLAPS,
            *HOST_DEVICES,
            *HOST_INTERRUPTS,
            *HOST_MEMORY,
            *DOM0_MEMORY,
            *BOOT_MODULES,
            *COMMAND_LINE,
            *DOM0LESS,
            *PASSTHROUGH,
        ),
        key=lambda item: item.code,
    )
)

NOT_SHOWN: Final = (
    NotShown(
        "A01",
        "Whether a driver has claimed its registers when the first grant is mapped",
        "No tree tells which drivers are built in and bind; a recorded /proc/iomem (--proc-iomem) does.",
    ),
    NotShown(
        "A02",
        "The seed of KASLR",
        "It is drawn at boot. Both outcomes are computed, the worse one is the verdict, and X44 says when they differ.",
    ),
    NotShown(
        "A03",
        "Memory and nodes that firmware adds or changes after the tree is built",
        "The tree at hand is all there is; --memory, --xen-log and --fdt-address supply what is known.",
    ),
    NotShown(
        "A04",
        "What a passthrough module (a partial tree) of a dom0less domain contains",
        "It is a file of its own: --partial-dtb DOMAIN=FILE reads it.",
    ),
    NotShown(
        "A05",
        "Whether gnttab_max_frames, ext_regions or dom0_mem are set where no tree shows them (xen.cfg of an EFI boot)",
        "Options of the same names say so.",
    ),
    NotShown(
        "A06",
        "What the hardware answers while Xen boots: the GIC's version and lines, the timer's frequency, the CPUs' features",
        'Xen panics over some of it ("GICv3: no distributor detected", "CPU does not support the Generic Timer v1 '
        'interface"), and no tree tells it; --gic-lines and --ipa-bits say what is known.',
    ),
    NotShown(
        "A07",
        "What a kernel image says of itself: compressed, a uImage, for 32 bits, or none that Xen knows",
        "Only its place and size stand in the tree; it is taken for a raw arm64 Image.",
    ),
    NotShown(
        "A08",
        "ACPI, PCI passthrough by Xen, TEE mediators, SVE, XSM policies, NUMA",
        "Off by default. Where Xen's command line asks for one, *Assumed* says that it is not modelled.",
    ),
    NotShown(
        "A09",
        'Xen\'s own allocations that fail ("GICv3: Failed to allocate memory for rdist regions", -ENOMEM)',
        "They need more memory than any board that is described here lacks.",
    ),
    NotShown(
        "A10",
        "How Xen for 32-bit Arm lays out its own heap, and Xen for RISC-V",
        "Only arm64 is mirrored there: a 32-bit board is told about its domains, a RISC-V board that there is no "
        "hypervisor node.",
    ),
)

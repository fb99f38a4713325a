"""What one build of Xen has: the Kconfig symbols that decide about a tree.

Mirrors xen/arch/arm/Kconfig, xen/common/Kconfig, xen/drivers/char/Kconfig and xen/drivers/passthrough/Kconfig as far as a
board meets them. Symbols are written without ``CONFIG_``. Left out: symbols that change nothing before dom0 runs.
"""

import re
from typing import Final, NamedTuple

from dtanalyze.errors import InputError, UsageError

__all__ = ["BUILDS", "DEFAULT", "Build", "build_named", "read_build"]

_ON: Final = frozenset(
    {
        "ARM_SMMU",
        "DOM0LESS_BOOT",
        "GICV2",
        "GICV3",
        "HAS_CADENCE_UART",
        "HAS_IMX_LPUART",
        "HAS_IMX_UART",
        "HAS_LINFLEX",
        "HAS_MESON",
        "HAS_MVEBU",
        "HAS_NS16550",
        "HAS_OMAP",
        "HAS_PL011",
        "HAS_SCIF",
        "STATIC_EVTCHN",
        "XSM_FLASK",
    }
)
"""On by default on arm64."""
_OFF: Final = frozenset(
    {
        *("ACPI", "ARM64_SVE", "ARM_SMMU_V3", "BOOT_TIME_CPUPOOLS", "HAS_EXYNOS4210", "HAS_ITS", "IPMMU_VMSA"),
        *("LLC_COLORING", "SCHED_ARINC653", "SCHED_NULL", "SCHED_RTDS", "SCMI_SMC", "STATIC_MEMORY", "STATIC_SHM", "TEE"),
        *("XSM_FLASK_DEFAULT", "XSM_FLASK_POLICY"),
    }
)
"""Off by default."""
_ASKED_FOR: Final = frozenset(
    {
        *("ARM_SMMU_V3", "BOOT_TIME_CPUPOOLS", "IPMMU_VMSA", "LLC_COLORING", "SCHED_ARINC653", "SCHED_NULL", "SCHED_RTDS"),
        *("STATIC_MEMORY", "STATIC_SHM", "XSM_FLASK_POLICY"),
    }
)
"""What a tree or a command line asks for that was written for a Xen that has it, or a board that is of no use without."""
_LINE: Final = re.compile(r"\s*(?:CONFIG_(?P<name>\w+)=(?P<value>.*?)|# CONFIG_(?P<off>\w+) is not set)\s*")


class Build(NamedTuple):
    """One build. ``on`` are its symbols; ``presumed`` those that are taken to be on where a tree asks for them.

    ``fewer_pages`` is how many pages less than upstream's it takes of the heap before dom0's RAM, ``more_lines`` how many
    lines its page_alloc.c has more than upstream's above mark_page_free.
    """

    name: str
    on: frozenset[str]
    presumed: frozenset[str] = frozenset()
    fewer_pages: int = 0
    more_lines: int = 0

    def has(self, symbol: str) -> bool:
        """Tell whether the symbol is on, or is presumed to be by a tree that asks for it."""
        return symbol in self.on or symbol in self.presumed


BUILDS: Final = {"stock": Build("a stock build", _ON), "debian": Build("Debian's package", _ON, fewer_pages=5, more_lines=6)}
"""Builds by the name that a user gives. Debian's packages have upstream's defaults for everything that is asked here."""
DEFAULT: Final = Build("upstream's defaults", _ON, _ASKED_FOR)
"""Upstream's defaults, and what the tree itself asks for: whoever boots Xen on it is taken to have built it so, and that is
said. With a build that is named nothing is presumed."""


def build_named(name: str) -> Build:
    """Return a build by its name; raise `UsageError` when there is none."""
    if name not in BUILDS:
        raise UsageError(f"no build of Xen is called '{name}'; there are {', '.join(BUILDS)}, or give --xen-config FILE")
    return BUILDS[name]


def read_build(text: str) -> Build:
    """Return the build that Xen's own ``.config`` describes; raise `InputError` when it is none of Xen's."""
    found = [match for line in text.splitlines() if (match := _LINE.fullmatch(line))]
    said = {match["name"]: match["value"] == "y" for match in found if match["name"]}
    said |= {match["off"]: False for match in found if match["off"]}
    if "KALLSYMS" in said and "XEN" in said:
        raise InputError("it is a configuration of Linux, not of Xen")
    if not said.keys() & (_ON | _OFF):
        raise InputError("no line of it is an option of Xen's build that matters here, such as CONFIG_STATIC_MEMORY=y")
    # What a file does not say has its default: a piece of a configuration says what differs, and what depends on something
    # that is off is not in a whole one.
    on = {symbol for symbol in _ON if said.get(symbol, True)} | {symbol for symbol in _OFF if said.get(symbol, False)}
    if not said.get("XSM", True):
        on -= {"XSM_FLASK"}
    if said.get("NEW_VGIC"):
        on -= {"GICV3", "HAS_ITS"}
    return Build("the configuration given", frozenset(on))

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
    }
)
"""On by default on arm64."""
_OFF: Final = frozenset(
    {"ACPI", "ARM_SMMU_V3", "HAS_EXYNOS4210", "HAS_ITS", "IPMMU_VMSA", "LLC_COLORING", "STATIC_MEMORY", "STATIC_SHM"}
)
"""Off by default."""
_ASKED_FOR: Final = frozenset({"LLC_COLORING", "STATIC_MEMORY", "STATIC_SHM"})
"""What only a tree or a command line that was written for it asks for."""
_ALWAYS_BEFORE: Final = {"GICV2": "VGICV2"}
"""Symbols that older releases do not have, since the thing was always built; a newer symbol tells which it is."""
_LINE: Final = re.compile(r"\s*(?:CONFIG_(?P<name>\w+)=(?P<value>.*?)|# CONFIG_(?P<off>\w+) is not set)\s*")


class Build(NamedTuple):
    """One build. ``on`` are its symbols; ``presumed`` those that are taken to be on where a tree asks for them."""

    name: str
    on: frozenset[str]
    presumed: frozenset[str] = frozenset()

    def has(self, symbol: str) -> bool:
        """Tell whether the symbol is on, or is presumed to be by a tree that asks for it."""
        return symbol in self.on or symbol in self.presumed


BUILDS: Final = {"stock": Build("a stock build", _ON), "debian": Build("Debian's package", _ON)}
"""Builds by the name that a user gives. Debian's packages have upstream's defaults for everything that is asked here."""
DEFAULT: Final = Build("upstream's defaults", _ON, _ASKED_FOR)
"""Upstream's defaults; whoever writes static memory into a tree is taken to have built Xen for it, and that is said."""


def build_named(name: str) -> Build:
    """Return a build by its name; raise `UsageError` when there is none."""
    if name not in BUILDS:
        raise UsageError(f"no build of Xen is called '{name}'; there are {', '.join(BUILDS)}, or give --xen-config FILE")
    return BUILDS[name]


def read_build(text: str) -> Build:
    """Return the build that Xen's own ``.config`` describes; raise `InputError` when it is none of Xen's."""
    found = [match for line in text.splitlines() if (match := _LINE.fullmatch(line))]
    values = {match["name"]: match["value"] for match in found if match["name"]}
    known = set(values) | {match["off"] for match in found if match["off"]}
    if not known & (_ON | _OFF):
        raise InputError("no line of it is an option of Xen's build, such as CONFIG_GICV3=y")
    if "KALLSYMS" in known and "XEN" in known:
        raise InputError("it is a configuration of Linux, not of Xen")
    on = {name for name, value in values.items() if value == "y"}
    on |= {symbol for symbol, newer in _ALWAYS_BEFORE.items() if not known & {symbol, newer}}
    if "DOM0LESS_BOOT" not in known:
        on.add("DOM0LESS_BOOT")
    return Build("the configuration given", frozenset(on))

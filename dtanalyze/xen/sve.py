"""SVE for dom0: asked for on Xen's line, refused by a Xen that is built without it.

Mirrors parse_arch_dom0_param (arch/arm/domain_build.c) with parse_signed_integer (common/kernel.c), from 4.18 on. Left out:
in a Xen with CONFIG_ARM64_SVE, whether the CPU has vectors of that length.
"""

from __future__ import annotations

from dtanalyze.xen.build import Build
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.profile import XenProfile
from dtanalyze.xen.stage import Outcome, Passed, Stop

__all__ = ["parse_arch_dom0_param"]


def parse_arch_dom0_param(args: XenArgs, profile: XenProfile, build: Build) -> Outcome:
    """Return whether Xen gets past its own line: ``dom0=sve=LENGTH`` is the only word that stops it there."""
    if not args.dom0_sve or not profile.dom0_sve or build.has("ARM64_SVE"):
        return Passed(("no word that stops Xen",))
    line = "'sve' property found, but CONFIG_ARM64_SVE not selected"
    return Stop("command-line", (line,), f"dom0=sve= on Xen's line, and {build.name} is without SVE", silent=True)

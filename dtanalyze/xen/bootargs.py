"""Xen's own command line: what of it decides about dom0 and the extended regions.

Mirrors boot_fdt_cmdline (which property holds it) and the parsers of the options read here; unknown words are left alone.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from dtanalyze.address.units import GIB, KIB, MIB, TIB
from dtanalyze.devicetree.tree import Tree

__all__ = ["DOM0_MEM_DEFAULT", "XenArgs", "parse_bootargs", "xen_bootargs"]

DOM0_MEM_DEFAULT: Final = 512 * MIB
"""Bytes that dom0 gets when the command line has no dom0_mem."""

_UNIT: Final = {"": KIB, "b": 1, "k": KIB, "m": MIB, "g": GIB, "t": TIB}
_SIZE: Final = re.compile(r"(0[xX][0-9a-fA-F]+|[0-9]+)([bBkKmMgGtT]?)")


class XenArgs(NamedTuple):
    """Options of Xen. ``dom0_mem`` is bytes, None when absent; ``iommu`` None leaves it to the default."""

    dom0_mem: int | None = None
    ext_regions: bool = True
    iommu: bool | None = None
    dtuart: str | None = None
    max_grant_frames: int = 64
    dom0_max_vcpus: int | None = None


def xen_bootargs(tree: Tree) -> str:
    """Return Xen's command line in /chosen, empty when there is none."""
    chosen = tree.root.child("chosen")
    if chosen is None:
        return ""
    found = chosen.prop("xen,xen-bootargs")
    if found is None and _dom0_has_own_args(tree):
        found = chosen.prop("bootargs")
    return (found.string or "") if found else ""


def _dom0_has_own_args(tree: Tree) -> bool:
    chosen = tree.root.child("chosen")
    if chosen is None:
        return False
    if chosen.prop("xen,dom0-bootargs") is not None:
        return True
    modules = [node for node in chosen.children if node.is_compatible("multiboot,kernel")]
    return any((prop := node.prop("bootargs")) is not None and bool(prop.string) for node in modules)


def parse_bootargs(text: str) -> XenArgs:
    """Return what ``text`` sets; the last word of a kind counts, as in Xen."""
    args = XenArgs()
    for word in text.split():
        name, equals, value = word.partition("=")
        if name == "dom0_mem" and equals:
            args = args._replace(dom0_mem=_parse_size(value))
        elif name in ("ext_regions", "no-ext_regions"):
            args = args._replace(ext_regions=_parse_bool(name, equals, value, args.ext_regions))
        elif name in ("iommu", "no-iommu"):
            first = value.split(",")[0]
            args = args._replace(iommu=_parse_bool(name, equals, first, args.iommu is not False))
        elif name == "dtuart" and value:
            args = args._replace(dtuart=value)
        elif name == "gnttab_max_frames" and value.isdigit():
            args = args._replace(max_grant_frames=int(value))
        elif name == "dom0_max_vcpus" and value.isdigit():
            args = args._replace(dom0_max_vcpus=int(value))
    return args


def _parse_size(text: str) -> int | None:
    """Return a size as parse_size_and_unit does: a bare number is KiB."""
    match = _SIZE.match(text)
    return int(match[1], 0 if match[1][:2].lower() == "0x" else 10) * _UNIT[match[2].lower()] if match else None


def _parse_bool(name: str, equals: str, value: str, default: bool) -> bool:
    if name.startswith("no-"):
        return False
    if not equals or value in ("1", "yes", "on", "true", "enable"):
        return True
    return False if value in ("0", "no", "off", "false", "disable") else default

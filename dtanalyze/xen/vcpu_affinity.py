"""Which CPUs of the host the CPUs of a domain may run on: the ``xen,vcpu`` nodes below a domain's.

Mirrors domain_vcpu_affinity (common/device-tree/dom0less-build.c) with simple_strtoul and vcpu_set_hard_affinity
(common/sched/core.c). Left out: CPUs that do not come up, and pools of CPUs, in which a domain has fewer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.dom0less import DomU, first_cell
from dtanalyze.xen.dom0less_bindings import Refused
from dtanalyze.xen.dt_property import dt_property_read_string

__all__ = ["domain_vcpu_affinity"]

_NUMBER: Final = re.compile(r"0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]{0,19})")
_UNSIGNED: Final = (1 << 32) - 1


def domain_vcpu_affinity(boot: Boot, domu: DomU) -> Iterator[Refused]:
    """Yield what Xen does not take of the nodes, the first first; up to 4.20 nobody reads them."""
    nodes = (node for node in domu.node.children if node.is_compatible("xen,vcpu"))
    for node in nodes if boot.profile.domu_vcpu_nodes else ():
        number = first_cell(node, "id")
        if number is None:
            yield Refused((f"Invalid xen,vcpu node for domain {domu.node.base_name}",), f"{node.path} has no id")
        elif number >= domu.cpus:
            line = f"Invalid vcpu_id {number} for domain {domu.node.base_name}, max_vcpus={domu.cpus}"
            yield Refused((line,), f"id of {node.path}")
        else:
            yield from _affinity(boot, domu, node, number)


def _affinity(boot: Boot, domu: DomU, node: Node, vcpu: int) -> Iterator[Refused]:
    text = dt_property_read_string(node, "hard-affinity")
    if isinstance(text, int):
        return
    because, some = f"hard-affinity of {node.path}", False
    for start, end in _ranges(text):
        if end >= boot.possible_cpus:
            line = f"Invalid pCPU {end} for domain {domu.node.base_name}"
            yield Refused((line,), f"{because}; the host has {boot.possible_cpus} CPUs")
        some = some or start <= min(end, boot.cpus - 1)
    if not some:
        line = f"vcpu{vcpu}: failed (rc=-22) to set hard affinity for domain {domu.node.base_name}"
        yield Refused((line,), f"{because} names none of the {boot.cpus} CPUs that Xen uses")


def _ranges(text: str) -> Iterator[tuple[int, int]]:
    """Yield the first and last CPU of each item; what follows the first item that is no list is not read."""
    while text:
        start, text = _strtoul(text)
        end = start
        if text.startswith("-"):
            end, text = _strtoul(text[1:])
        yield start, end
        if text and not text.startswith(","):
            return
        text = text[1:]


def _strtoul(text: str) -> tuple[int, str]:
    """Return the number at the start and the rest; where there is none, 0."""
    match = _NUMBER.match(text)
    if match is None:
        return 0, text
    base, digits = next((base, digits) for base, digits in zip((16, 8, 10), match.groups(), strict=True) if digits)
    return int(digits, base) & _UNSIGNED, text[match.end() :]

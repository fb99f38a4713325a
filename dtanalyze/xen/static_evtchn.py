"""Event channels that the tree sets up between domains: ``xen,evtchn-v1`` nodes.

Mirrors alloc_static_evtchn and alloc_domain_evtchn (arch/arm/domain_build.c up to 4.18, then arch/arm/static-evtchn.c, from
4.21 common/device-tree/static-evtchn.c), and evtchn_get_port (common/event_channel.c). Left out: security policies.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.board.interrupts import Phandles
from dtanalyze.devicetree.tree import Node
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.dom0less import CAPS_XENSTORE
from dtanalyze.xen.stage import Stop

__all__ = ["alloc_static_evtchn"]

_DOMU_PORTS: Final = 1024
_MOST_PORTS: Final = 4096
"""EVTCHN_2L_NR_CHANNELS: what every domain has before it asks for the FIFO kind."""
_EBUSY, _ENOSPC = -16, -28


class _Refused(NamedTuple):
    line: str
    because: str


class _Domain:
    """One domain's ports: 0 is reserved; one that has a xenstore beside it has the next already."""

    def __init__(self, name: str, ports: int, *, xenstore: bool = False) -> None:
        self.name = name
        self.ports = ports
        self.taken = {0, 1} if xenstore else {0}

    def get_port(self, port: int) -> int:
        """Take a port, the first free one for 0; return it, or what evtchn_get_port returns."""
        if not port:
            port = next((item for item in range(self.ports) if item not in self.taken), self.ports)
        if port >= self.ports:
            return _ENOSPC
        if port in self.taken:
            return _EBUSY
        self.taken.add(port)
        return port


def alloc_static_evtchn(boot: Boot) -> Stop | None:
    """Return what stops Xen over the first such node that cannot be set up."""
    if not boot.profile.static_evtchn or not boot.build.has("STATIC_EVTCHN"):
        return None
    domains, phandles, done = _domains(boot), Phandles.of(boot.host.tree), set[int]()
    for node in _visited(boot):
        if not node.is_compatible("xen,evtchn-v1") or id(node) in done:
            continue
        refused = _alloc_domain_evtchn(node, domains, phandles, done)
        if refused is not None:
            lines = (refused.line, "Could not set up domains evtchn")
            return Stop("domains", lines, f"{node.path}: {refused.because}", node.path)
    return None


def _visited(boot: Boot) -> Iterator[Node]:
    chosen = boot.host.tree.root.child("chosen")
    for node in chosen.children if chosen else ():
        if _hardware_domain(boot) is not None:
            yield node
        yield from node.children


def _hardware_domain(boot: Boot) -> str | None:
    if boot.has_dom0:
        return "d0"
    return next((item.node.path for item in boot.domus if item.is_hardware_domain), None)


def _domains(boot: Boot) -> dict[str, _Domain]:
    """Return the domains by the path of the node that uses them: /chosen is the hardware domain's."""
    served = boot.has_dom0 or any(item.capabilities & CAPS_XENSTORE for item in boot.domus)
    found = {
        item.node.path: _Domain(
            item.node.path,
            _MOST_PORTS if item.capabilities else _DOMU_PORTS,
            xenstore=item.xenstore and served,
        )
        for item in boot.domus
    }
    owner = _hardware_domain(boot)
    if owner is not None:
        found["/chosen"] = found.get(owner) or _Domain("dom0", _MOST_PORTS)
    return found


def _alloc_domain_evtchn(node: Node, domains: dict[str, _Domain], phandles: Phandles, done: set[int]) -> _Refused | None:
    here = _get_evtchn_dt_property(node)
    if isinstance(here, _Refused):
        return here
    remote = phandles.node(here[1]) if here[1] else _root(node)
    if remote is None:
        return _Refused("evtchn: could not find remote evtchn phandle", f"no node has the phandle {here[1]:#x}")
    there = _get_evtchn_dt_property(remote)
    if isinstance(there, _Refused):
        return there._replace(because=f"{remote.path}, which it names: {there.because}")
    if there[1] != _phandle(node):
        because = f"{remote.path}, which it names, does not name it in turn"
        return _Refused("xen,evtchn property is not setup correctly.", because)
    one, other = (domains.get(item.parent.path if item.parent else "") for item in (node, remote))
    if one is None or other is None:
        at = node if one is None else remote
        return _Refused("evtchn: could not find domains", f"{at.path} does not stand in a domain's node")
    port = one.get_port(here[0])
    if port < 0:
        return _Refused(f"evtchn_alloc_unbound() failure (Error {port}) ", _why(one, here[0], port))
    port = other.get_port(there[0])
    if port < 0:
        return _Refused(f"evtchn_bind_interdomain() failure (Error {port}) ", _why(other, there[0], port))
    done |= {id(node), id(remote)}
    return None


def _root(node: Node) -> Node:
    """Return the first node of the tree, which is what has phandle 0 (dt_find_node_by_phandle)."""
    while node.parent is not None:
        node = node.parent
    return node


def _phandle(node: Node) -> int:
    """Return the node's phandle, 0 for none."""
    prop = node.prop("phandle") or node.prop("linux,phandle")
    return (prop.u32 or 0) if prop is not None else 0


def _why(domain: _Domain, port: int, error: int) -> str:
    if error == _EBUSY:
        return f"port {port} of {domain.name} is taken"
    return f"port {port} is beyond the {domain.ports} that {domain.name} has"


def _get_evtchn_dt_property(node: Node) -> tuple[int, int] | _Refused:
    """Return the port and the phandle of the other end."""
    prop = node.prop("xen,evtchn")
    if prop is None:
        return _Refused("xen,evtchn property should not be empty.", "it has no xen,evtchn")
    if len(prop.value) < 8:
        return _Refused("xen,evtchn property value is not valid.", f"xen,evtchn has {len(prop.value)} bytes, not 8")
    return prop.cells[0], prop.cells[1]

"""Pools of CPUs that the tree makes: ``xen,cpupool`` nodes in /chosen, and which of them a domain runs in.

Mirrors btcpupools_dtb_parse, btcpupools_allocate_pools and btcpupools_get_domain_pool_id (common/sched/boot-cpupool.c), from
4.17 on, in Xen built with CONFIG_BOOT_TIME_CPUPOOLS; any other Xen reads nothing of this. Left out: CPUs that do not start.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from dtanalyze.board.interrupts import Phandles
from dtanalyze.devicetree.cells import CellCounts, inherited_cells, read_number
from dtanalyze.devicetree.tree import Node, Tree
from dtanalyze.xen.build import Build
from dtanalyze.xen.dt_property import dt_property_read_string
from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.smpboot import online_cpus, possible_cpus
from dtanalyze.xen.stage import Open, Outcome, Passed, Stop

__all__ = ["CpuPools", "cpu_pools", "cpupool_init"]

_STAGE: Final = "cpupools"
_NO_CHOSEN: Final = "/chosen missing. Boot time cpupools can't be parsed from DT."
_NO_REG, _NO_LOGICAL_CPU, _WRONG_NODE, _CORRUPTED_NODE = -1, -2, -3, -4
_SCHEDULERS: Final = ("credit", "credit2")
_OPTIONAL_SCHEDULERS: Final = {"rtds": "SCHED_RTDS", "null": "SCHED_NULL", "arinc653": "SCHED_ARINC653"}
_UNSIGNED: Final = (1 << 32) - 1


class CpuPools(NamedTuple):
    """``possible`` are the CPUs that Xen counts, by number, ``online`` those it uses; ``read`` says that it makes pools."""

    tree: Tree
    build: Build
    possible: Sequence[Node]
    online: Sequence[Node]
    read: bool

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes of pools, in document order; none where this Xen reads none."""
        return self.tree.root.once("pools of CPUs", _pools) if self.read else ()

    def domain_pool_id(self, domain: Node) -> int:
        """Return the number of the pool that ``domain-cpupool`` names, or Xen's negative code; 0 without one."""
        prop = domain.prop("domain-cpupool") if self.read else None
        pool = Phandles.of(self.tree).node(prop.cells[0]) if prop is not None and prop.cells else None
        if pool is None:
            return 0
        if not pool.is_compatible("xen,cpupool"):
            return _WRONG_NODE
        first = next(self._cpus(pool), None)
        return min(self._logical(first), 0) if first is not None else _CORRUPTED_NODE

    def stop(self) -> Stop | None:
        """Return what Xen does not take of the pools."""
        pool_of: dict[int, int] = {}
        for number, node in enumerate(self.nodes):
            lines = self._refused(node, number, pool_of)
            if lines is not None:
                return Stop(_STAGE, (lines[0],), f"{node.path}: {lines[1]}", node.path)
        for cpu, pool in sorted(pool_of.items()):
            if self.possible[cpu] not in self.online:
                because = f"{self.possible[cpu].path} is of another kind than the first CPU, and Xen leaves it off"
                line = f"Pool-{pool} contains cpu{cpu} that is not online!"
                return Stop(_STAGE, (line,), because, self.nodes[pool].path)
        return None

    def _refused(self, node: Node, number: int, pool_of: dict[int, int]) -> tuple[str, str] | None:
        """Enter the CPUs of one pool; return Xen's line and the cause when one cannot be."""
        name = dt_property_read_string(node, "cpupool-sched")
        if isinstance(name, str) and not self._has_scheduler(name):
            return f"Scheduler {name} does not exists!", f"cpupool-sched, and {self.build.name} has no such scheduler"
        cpus = list(self._cpus(node))
        if not cpus:
            return "Missing or empty cpupool-cpus property!", "cpupool-cpus names no node"
        for cpu in cpus:
            logical = self._logical(cpu)
            if logical < 0:
                line = f"Error retrieving logical cpu from node {node.base_name} ({logical})"
                return line, f"cpupool-cpus names {cpu.path}, which is no CPU that Xen counts"
            if logical in pool_of:
                return f"Logical cpu {logical} already added to a cpupool!", f"{cpu.path} is in two pools, or twice in one"
            pool_of[logical] = number
        return None

    def _has_scheduler(self, name: str) -> bool:
        symbol = _OPTIONAL_SCHEDULERS.get(name)
        return name in _SCHEDULERS or (symbol is not None and self.build.has(symbol))

    def _cpus(self, pool: Node) -> Iterator[Node]:
        """Yield the nodes that cpupool-cpus names, up to the first phandle of none."""
        prop = pool.prop("cpupool-cpus")
        for phandle in prop.cells if prop is not None else ():
            node = Phandles.of(self.tree).node(phandle)
            if node is None:
                return
            yield node

    def _logical(self, cpu: Node) -> int:
        """get_logical_cpu_from_cpu_node: the number of the CPU with that hardware number."""
        prop = cpu.prop("reg")
        if prop is None:
            return _NO_REG
        hwid = _hwid(cpu)
        return next((at for at, item in enumerate(self.possible) if _hwid(item) == hwid), _NO_LOGICAL_CPU)


def _hwid(cpu: Node) -> int:
    prop = cpu.prop("reg")
    counts = inherited_cells(cpu.parent or cpu, CellCounts(2, 1))
    return read_number(prop.cells[: counts.address]) & _UNSIGNED if prop is not None else 0


def cpu_pools(tree: Tree, build: Build, args: XenArgs, *, read: bool, unstarted_numbered: bool = False) -> CpuPools:
    """Return the host's CPUs, those that Xen uses, and the pools that the tree makes of them where Xen ``read``s them."""
    possible = possible_cpus(tree, args, unstarted_numbered=unstarted_numbered)
    online = online_cpus(tree, args, unstarted_numbered=unstarted_numbered)
    return CpuPools(tree, build, possible, online, read)


def cpupool_init(pools: CpuPools) -> Outcome:
    """Make the pools that the tree describes; a tree without /chosen is one that a boot loader has yet to fill in."""
    if pools.read and pools.tree.root.child("chosen") is None:
        return Open(f"{_NO_CHOSEN!r} stops Xen where no boot loader adds it")
    stop = pools.stop()
    count = len(pools.nodes)
    return stop or Passed((f"{count} pool{'' if count == 1 else 's'} of the tree",))


def _pools(root: Node) -> tuple[Node, ...]:
    chosen = root.child("chosen")
    return tuple(node for node in chosen.children if node.is_compatible("xen,cpupool")) if chosen else ()

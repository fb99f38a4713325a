"""Tree to `Board`: one walk in document order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from dtanalyze.board.bus import AddressRules, pci_space
from dtanalyze.board.interrupts import Interrupt, Phandles
from dtanalyze.board.model import Board, Device, MemoryNode, PciHost, Reservation, Window
from dtanalyze.board.translate import RegEntry, Untranslatable, reg_entries, translate
from dtanalyze.devicetree.cells import inherited_cells, read_number, reg_tuples
from dtanalyze.devicetree.tree import Node, Tree

__all__ = ["all_reg_entries", "build_board", "hypervisor_nodes", "pci_windows"]

_NOT_DEVICES: Final = frozenset({"chosen", "reserved-memory", "aliases", "__symbols__", "__fixups__", "__local_fixups__"})


def build_board(tree: Tree, rules: AddressRules) -> Board:
    """Return what ``tree`` says of the hardware when its addresses are read by ``rules``; one board for both."""
    known = tree.root.known
    if known is None:
        return _built(tree, rules)
    key = f"board {rules.name}"
    found: Board | None = known.get(key)
    if found is None or found.tree is not tree:
        found = known[key] = _built(tree, rules)
    return found


def _built(tree: Tree, rules: AddressRules) -> Board:
    root = tree.root
    reserved = root.child("reserved-memory")
    memory = tuple(_memory_nodes(root))
    hypervisors = hypervisor_nodes(root)
    skipped = {id(item.node) for item in memory} | {id(node) for node in hypervisors}
    devices: list[Device] = []
    hosts: list[PciHost] = []
    for node, enabled in _device_nodes(root, skipped):
        entries = reg_entries(node, rules)
        if entries:
            devices.append(Device(node, entries, enabled))
        if _is_host_bridge(node, rules):
            hosts.append(PciHost(node, tuple(pci_windows(node, rules)), enabled))
    return Board(
        tree=tree,
        rules=rules,
        memory=memory,
        memreserve=tree.reservations,
        reserved_memory=reserved,
        reservations=tuple(_reservations(reserved, rules)) if reserved else (),
        devices=tuple(devices),
        pci_hosts=tuple(hosts),
        hypervisors=hypervisors,
        event_channel=_event_channel(tree, hypervisors),
        chosen=root.child("chosen"),
    )


def hypervisor_nodes(root: Node) -> tuple[Node, ...]:
    """Return every node compatible with ``xen,xen``, and ``/hypervisor`` whatever it says, in document order."""
    return root.once("hypervisors", _hypervisor_nodes)


def _hypervisor_nodes(root: Node) -> tuple[Node, ...]:
    return tuple(
        node for node in root if node.is_compatible("xen,xen") or (node.name == "hypervisor" and node.parent is root)
    )


def _event_channel(tree: Tree, hypervisors: tuple[Node, ...]) -> Interrupt | None:
    if not hypervisors or not {"interrupts", "interrupts-extended"} & hypervisors[0].properties.keys():
        return None
    return next(iter(Phandles.of(tree).interrupts(hypervisors[0])), None)


def _memory_nodes(root: Node) -> Iterator[MemoryNode]:
    for node in root.children:
        by_type = node.device_type == "memory"
        by_name = node.base_name == "memory"
        if by_type or by_name:
            yield MemoryNode(node, by_type, by_name, node.available)


def _device_nodes(root: Node, skipped: set[int]) -> Iterator[tuple[Node, bool]]:
    stack = [(child, child.available) for child in reversed(root.children)]
    while stack:
        node, enabled = stack.pop()
        if id(node) in skipped or (node.parent is root and node.name in _NOT_DEVICES):
            continue
        yield node, enabled
        stack.extend((child, enabled and child.available) for child in reversed(node.children))


def _reservations(parent: Node, rules: AddressRules) -> Iterator[Reservation]:
    for node in parent.children:
        size = node.prop("size")
        yield Reservation(
            node=node,
            entries=reg_entries(node, rules),
            no_map=node.prop("no-map") is not None,
            reusable=node.prop("reusable") is not None,
            dynamic_size=None if size is None or node.prop("reg") else read_number(size.cells),
            enabled=node.available,
        )


def _is_host_bridge(node: Node, rules: AddressRules) -> bool:
    """Tell whether a node is a PCI bus whose parent is none; Linux knows one called ``pcie`` without device_type."""
    return _is_pci_bus(node, rules) and (node.parent is None or not _is_pci_bus(node.parent, rules))


def _is_pci_bus(node: Node, rules: AddressRules) -> bool:
    if node.device_type == "pci":
        return True
    return rules.name != "xen" and node.base_name == "pcie" and node.prop("ranges") is not None


def pci_windows(node: Node, rules: AddressRules) -> Iterator[Window]:
    """Yield every entry of a PCI bridge's ``ranges``, its CPU address translated from the bus above the bridge."""
    ranges, parent = node.prop("ranges"), node.parent
    bus = rules.bus_of(node)
    parent_bus = rules.bus_of(parent) if parent else None
    if ranges is None or parent is None or bus is None or parent_bus is None:
        return
    counts, above = rules.counts(bus, node), rules.counts(parent_bus, parent)
    width = counts.address + above.address + counts.size
    cells = ranges.cells
    for at in range(0, len(cells) - width + 1, width):
        child = cells[at : at + counts.address]
        cpu = cells[at + counts.address : at + counts.address + above.address]
        size = read_number(cells[at + counts.address + above.address : at + width])
        yield Window(
            space=pci_space(child[0]),
            flags=child[0],
            bus_address=read_number(child[1:]),
            size=size,
            where=translate(node, cpu, rules),
            offset=ranges.offset + 4 * at,
        )


def all_reg_entries(tree: Tree, rules: AddressRules) -> Iterator[RegEntry]:
    """Yield every entry of every ``reg`` in document order, also where ``rules`` see no address at all.

    Below a PCI bus a ``reg`` names configuration space; below a node that is no bus nothing is an address. Such
    entries come as `Untranslatable`, with the cell counts that would hold.
    """
    for node in tree.root:
        prop, parent = node.prop("reg"), node.parent
        if prop is None or parent is None:
            continue
        bus = rules.bus_of(parent)
        counts = rules.counts(bus, parent) if bus else inherited_cells(parent, rules.root_default)
        for entry in reg_tuples(prop, counts):
            where = (
                translate(node, entry.address_cells, rules)
                if entry.address_cells
                else Untranslatable(f"{parent.path} has #address-cells 0", parent.path)
            )
            yield RegEntry(node, entry.nth, entry.address_cells, entry.size, entry.offset, where)

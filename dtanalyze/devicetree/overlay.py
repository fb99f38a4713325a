"""Overlays applied to a tree, by the rules of libfdt's fdt_overlay_apply.

Steps: the overlay's phandles move past the base's; its references to its own nodes follow (``__local_fixups__``); its
references to labels of the base are filled in (``__fixups__`` through ``__symbols__``); a node that both describe keeps
the base's phandle; fragment after fragment is merged into its target, new nodes before old ones; the overlay's labels join
the base's. Before libfdt 1.7.1 (1fad065080e6) a phandle of the overlay replaced the base's and broke references to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from dtanalyze.devicetree.format import MAX_DEPTH
from dtanalyze.devicetree.overlaid_places import Landed
from dtanalyze.devicetree.tree import Node, Property, Tree
from dtanalyze.devicetree.write import copy_node, set_property, to_blob
from dtanalyze.errors import OverlayError

__all__ = ["Overlaid", "apply_overlay", "reached"]

_MAX_PHANDLE: Final = 0xFFFFFFFE
_PHANDLES: Final = ("phandle", "linux,phandle")


def apply_overlay(base: Tree, overlay: Tree) -> bytes:
    """Return the blob of ``base`` with ``overlay`` applied; raise `OverlayError` when that cannot be.

    Neither tree is changed.
    """
    overlaid = Overlaid(base)
    overlaid.apply(overlay)
    return overlaid.blob()


def reached(root: Node, path: str) -> Node | None:
    """Return the node that an overlay finds at a full path: for ``/memory`` also a ``/memory@0`` that stands before it."""
    return _at(root, path)


class Overlaid:
    """A copy of a tree that overlays are applied to, one after another; one that cannot be applied spoils it."""

    def __init__(self, base: Tree) -> None:
        self._base = base
        self._root = copy_node(base.root, None)
        self._found: _Found | None = None

    def apply(self, overlay: Tree) -> list[Landed]:
        """Apply an overlay, which is not changed, and return where its nodes went.

        Raises `OverlayError` when that cannot be.
        """
        over = copy_node(overlay.root, None)
        if not any(child.child("__overlay__") for child in over.children):
            raise OverlayError("it has no fragment with __overlay__: it is a tree of its own, or was built without /plugin/")
        found = self._found = _Found(self._root) if self._found is None or self._found.outdated else self._found
        _shift_phandles(over, found.highest)
        local = over.child("__local_fixups__")
        if local is not None:
            _shift_references(over, local, found.highest)
        _resolve_labels(found, over)
        _keep_phandles(found, over, local)
        landed: list[Landed] = []
        for fragment, content in _fragments(over):
            target = _target(found, fragment)
            if target is None:
                raise OverlayError(f"{fragment.path}: the base has no node {_wanted(fragment)}")
            _merge(found, Landed(content, target, made=False), landed)
        _merge_symbols(found, over)
        return landed

    def blob(self) -> bytes:
        """Return the tree as it is now."""
        return to_blob(self._root, [raw for raw, _ in self._base.reservations], self._base.boot_cpuid)


class _Found:
    """Nodes of the tree by phandle and by name, the first in document order where several fit.

    What an overlay adds is added here too; ``outdated`` says that it has done more than that.
    """

    def __init__(self, root: Node) -> None:
        self.root = root
        self.outdated = False
        self.highest = 0
        self._by_phandle: dict[int, Node] = {}
        self._children: dict[Node, tuple[dict[str, Node], dict[str, Node]]] = {}
        for node in root:
            for phandle in _phandles(node):
                self._by_phandle.setdefault(phandle, node)
                self.highest = max(self.highest, phandle)

    def with_phandle(self, phandle: int) -> Node | None:
        """Return the node that has a phandle."""
        if self.outdated:
            return next((node for node in self.root if phandle in _phandles(node)), None)
        return self._by_phandle.get(phandle)

    def child(self, node: Node, name: str) -> Node | None:
        """Return a child as `_child` finds it."""
        whole, base = self._names(node)
        return whole.get(name) if "@" in name else base.get(name)

    def _names(self, node: Node) -> tuple[dict[str, Node], dict[str, Node]]:
        names = self._children.get(node)
        if names is None:
            whole: dict[str, Node] = {}
            base: dict[str, Node] = {}
            for child in reversed(node.children):
                whole[child.name] = base[child.base_name] = child
            names = self._children[node] = whole, base
        return names

    def at(self, path: str) -> Node | None:
        """Return the node at a full path, as `_at` finds it."""
        return _at(self.root, path, self.child)

    def added(self, name: str, parent: Node) -> Node:
        """Return a new node, the first child of ``parent``."""
        node = Node(name, parent, 0)
        if node.path.count("/") >= MAX_DEPTH:
            raise OverlayError(f"it nests nodes deeper than {MAX_DEPTH}")
        whole, base = self._names(parent)
        parent.children.insert(0, node)
        whole[node.name] = base[node.base_name] = node
        return node

    def set_property(self, node: Node, name: str, value: bytes) -> None:
        """Set a property of a node of the tree."""
        before = node.properties.get(name)
        set_property(node, name, value)
        if name not in _PHANDLES or (before is not None and before.value == value):
            return
        self.outdated |= before is not None
        for phandle in _phandles(node):
            self.outdated |= self._by_phandle.setdefault(phandle, node) is not node
            self.highest = max(self.highest, phandle)


def _fragments(over: Node) -> Iterator[tuple[Node, Node]]:
    """Yield each fragment and what it adds."""
    for fragment in over.children:
        content = fragment.child("__overlay__")
        if content is not None:
            yield fragment, content


def _phandles(node: Node) -> Iterator[int]:
    for name in _PHANDLES:
        prop = node.prop(name)
        if prop is not None and prop.u32 is not None and prop.u32 <= _MAX_PHANDLE:
            yield prop.u32


def _u32(value: int) -> bytes:
    return value.to_bytes(4, "big")


def _shift_phandles(over: Node, delta: int) -> None:
    for node in over:
        for name in _PHANDLES:
            prop = node.prop(name)
            if prop is None:
                continue
            if prop.u32 is None or prop.u32 + delta > _MAX_PHANDLE:
                raise OverlayError(f"{node.path}: the {name} cannot be moved past those of the base")
            set_property(node, name, _u32(prop.u32 + delta))


def _places(over: Node, fixups: Node) -> Iterator[tuple[Node, Property, int]]:
    """Yield each reference that ``__local_fixups__`` lists: node, property and byte offset in its value."""
    for name, where in fixups.properties.items():
        prop = over.prop(name)
        if prop is None:
            raise OverlayError(f"__local_fixups__ names {over.path}: {name}, which is not there")
        for at in where.cells:
            if at + 4 > len(prop.value):
                raise OverlayError(
                    f"__local_fixups__ names offset {at} of {over.path}: {name}, which has {len(prop.value)} bytes"
                )
            yield over, prop, at
    for child in fixups.children:
        inner = over.child(child.name)
        if inner is None:
            raise OverlayError(f"__local_fixups__ names {over.path.rstrip('/')}/{child.name}, which is not there")
        yield from _places(inner, child)


def _patch(node: Node, name: str, at: int, value: int) -> None:
    old = node.properties[name].value
    set_property(node, name, old[:at] + _u32(value) + old[at + 4 :])


def _shift_references(over: Node, local: Node, delta: int) -> None:
    for node, prop, at in list(_places(over, local)):
        current = node.properties[prop.name].value
        _patch(node, prop.name, at, int.from_bytes(current[at : at + 4], "big") + delta & 0xFFFFFFFF)


def _resolve_labels(found: _Found, over: Node) -> None:
    fixups = over.child("__fixups__")
    if fixups is None or not fixups.properties:
        return
    symbols = found.root.child("__symbols__")
    if symbols is None:
        first = next(iter(fixups.properties))
        raise OverlayError(f"it refers to the label {first}, but the base has no __symbols__: build the base with dtc -@")
    for label, uses in fixups.properties.items():
        symbol = symbols.prop(label)
        if symbol is None:
            raise OverlayError(f"the base has no label {label}")
        node = found.at(symbol.string or "")
        phandle = next(_phandles(node), None) if node is not None else None
        if phandle is None:
            raise OverlayError(f"the base's label {label} leads to {symbol.string}, which has no phandle")
        if not uses.value.endswith(b"\0"):
            raise OverlayError(f"__fixups__ of {label} is no list of strings")
        for use in uses.strings:
            _fill(over, use, phandle, label)


def _fill(over: Node, use: str, phandle: int, label: str) -> None:
    path, _, rest = use.partition(":")
    name, _, offset = rest.partition(":")
    node = _at(over, path)
    prop = node.prop(name) if node is not None else None
    if node is None or prop is None or not offset.isdecimal() or int(offset) + 4 > len(prop.value):
        raise OverlayError(f"__fixups__ of {label} names {use}, which is not there")
    _patch(node, name, int(offset), phandle)


def _child(node: Node, name: str) -> Node | None:
    for child in node.children:
        if child.name == name or ("@" not in name and child.base_name == name):
            return child
    return None


def _at(root: Node, path: str, child: Callable[[Node, str], Node | None] = _child) -> Node | None:
    """Return the node at a full path; a part without a unit address fits one that has one, as in libfdt."""
    node: Node | None = root if path.startswith("/") else None
    for part in path.split("/"):
        if part and node is not None:
            node = child(node, part)
    return node


def _target(found: _Found, fragment: Node) -> Node | None:
    """Return the node that a fragment is for, None when there is none (yet: an earlier fragment may add it)."""
    prop = fragment.prop("target")
    if prop is not None and prop.u32:
        return found.with_phandle(prop.u32)
    path = fragment.prop("target-path")
    if path is None or path.string is None:
        raise OverlayError(f"{fragment.path} has neither target nor target-path")
    return found.at(path.string)


def _wanted(fragment: Node) -> str:
    """Return how a fragment names its target."""
    prop, path = fragment.prop("target"), fragment.prop("target-path")
    if prop is not None and prop.u32:
        return f"with the phandle {prop.u32:#x} of its target"
    return (path.string if path else None) or ""


def _keep_phandles(found: _Found, over: Node, local: Node | None) -> None:
    """Give nodes that the base describes too the base's phandle, and all references to them."""
    replaced: dict[int, int] = {}

    def visit(content: Node, target: Node) -> None:
        old, kept = next(_phandles(content), None), next(_phandles(target), None)
        if old is not None and kept is not None:
            replaced[old] = kept
            for name in _PHANDLES:
                if content.prop(name) is not None:
                    set_property(content, name, _u32(kept))
        for child in content.children:
            below = found.child(target, child.name)
            if below is not None:
                visit(child, below)

    for fragment, content in _fragments(over):
        target = _target(found, fragment)
        if target is not None:
            visit(content, target)
    for node, prop, at in list(_places(over, local)) if local is not None and replaced else ():
        value = int.from_bytes(node.properties[prop.name].value[at : at + 4], "big")
        if value in replaced:
            _patch(node, prop.name, at, replaced[value])


def _merge(found: _Found, item: Landed, landed: list[Landed]) -> None:
    landed.append(item)
    for prop in item.written.properties.values():
        found.set_property(item.node, prop.name, prop.value)
    for child in item.written.children:
        below = found.child(item.node, child.name)
        made = below is None
        _merge(found, Landed(child, below or found.added(child.name, item.node), made), landed)


def _merge_symbols(found: _Found, over: Node) -> None:
    """Add the overlay's labels; one of what is no fragment's content stays in the overlay."""
    labels = over.child("__symbols__")
    if labels is None:
        return
    symbols = found.root.child("__symbols__") or found.added("__symbols__", found.root)
    for label in labels.properties.values():
        if label.name in _PHANDLES:
            continue
        if not label.value.startswith(b"/") or label.value.find(b"\0") != len(label.value) - 1:
            raise OverlayError(f"the value of the label {label.name} in __symbols__ is not one path")
        parts = label.value.split(b"/", 3)
        if len(parts) < 3 or parts[2].rstrip(b"\0") != b"__overlay__":
            continue
        fragment = _child(over, parts[1].decode("ascii", "backslashreplace"))
        target = _target(found, fragment) if fragment is not None and fragment.child("__overlay__") else None
        if target is None:
            raise OverlayError(f"the label {label.name} leads to {label.string}, which is in no fragment")
        path = target.path.encode("ascii")
        set_property(symbols, label.name, path.rstrip(b"/") + b"/" + parts[3] if len(parts) > 3 else path + b"\0")

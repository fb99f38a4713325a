"""Who uses which addresses, as the lower lane of a picture shows it: RAM, reservations, devices, PCI windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.board.translate import chain_text
from dtanalyze.facts import CheckResult
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.view import View

__all__ = ["Claim", "claims"]


class Claim(NamedTuple):
    """Who uses a range: ``kind`` is ``ram``, ``reserved``, ``device`` or ``pci``; ``certain`` as in iomem_resource."""

    range: AddressRange
    kind: str
    name: str
    node: str
    certain: bool
    chain: str = ""

    @property
    def label(self) -> str:
        """The name, with a question mark where a driver has to bind first."""
        return self.name if self.certain or self.kind in ("ram", "reserved") else f"{self.name} ?"


def claims(result: CheckResult) -> tuple[Claim, ...]:
    """Return every user once, lowest address first, larger ones before what they hold."""
    found = dict.fromkeys(_claims(result))
    return tuple(sorted(found, key=lambda item: (item.range.start, -item.range.size, item.node, item.kind)))


def _claims(result: CheckResult) -> Iterator[Claim]:
    if result.answer is None:
        for run in result.ram:
            yield Claim(run, "ram", "RAM", "", True)
        return
    view = result.iomem_view
    users = {(user.source, user.range.start): user for user in result.answer.unseen}
    shown = tuple(_all(view)) if view is not None else ()
    for child in shown:
        user = users.get((child.source or "", child.range.start))
        yield from [_unseen(user)] if user is not None else _claim(child)
    # What a driver may claim stands in the view already, unless a claim of somebody else is in its way.
    places = {(child.source, child.range.start) for child in shown}
    for user in result.answer.unseen:
        if user.kind != "grant table" and (user.source, user.range.start) not in places:
            yield _unseen(user)


def _all(view: View) -> Iterator[View]:
    """Yield the resources below the root; below RAM only what is reserved, below a device nothing."""
    for child in view.children:
        yield child
        yield from (inner for inner in child.children if inner.name == "reserved" or child.name == "System RAM")


def _claim(child: View) -> Iterator[Claim]:
    found = child.range.checked()
    if found is None or child.name == "Xen scratch":
        return
    kind = {"System RAM": "ram", "reserved": "reserved"}.get(child.name, "device")
    name = "RAM" if kind == "ram" else (child.source or child.name).rpartition("/")[2] or child.name
    yield Claim(found, kind, name, child.source or "", child.claim == "certain")


def _unseen(user: Unseen) -> Claim:
    kind = {"reservation": "reserved", "device": "device"}.get(user.kind, "pci")
    name = user.source.rpartition("/")[2] or user.source
    return Claim(user.range, kind, name, user.source, False, chain_text(user.chain))

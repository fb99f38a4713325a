"""The picture as data: one axis, cut into bands at every address where something begins or ends, empty space folded.

Both views share the axis: what Xen offers and the kernel takes of it on the one side, who uses what on the other. Devices
that no region touches are drawn together, or a board's hundreds of them would bury everything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.board.translate import chain_text
from dtanalyze.facts import CheckResult
from dtanalyze.linux.iomem import Unseen
from dtanalyze.linux.memory_hotplug import PluggableRange
from dtanalyze.linux.view import View

__all__ = ["Band", "Claim", "Piece", "Scene", "scene", "title"]

_JOINED: Final = ("device", "pci")
_SEVERAL: Final = 4
"""So many claims in one band are named; more are counted."""


class Piece(NamedTuple):
    """A part of an extended region. ``kind`` is ``scratch``, ``refused``, ``hazard``, ``unreached``, ``lost`` or ``grant``.

    ``first`` and ``last`` number the sections in the order in which the kernel takes them, from 1; 0 when it takes none.
    """

    range: AddressRange
    kind: str
    label: str
    first: int = 0
    last: int = 0


class Claim(NamedTuple):
    """Who uses a range: ``kind`` is ``ram``, ``reserved``, ``device`` or ``pci``; ``certain`` as in iomem_resource."""

    range: AddressRange
    kind: str
    name: str
    node: str
    certain: bool
    chain: str = ""


class Band(NamedTuple):
    """Part of the axis between two edges. With neither pieces nor claims it is empty space, folded."""

    range: AddressRange
    piece: Piece | None
    claims: tuple[Claim, ...]

    @property
    def is_gap(self) -> bool:
        """Whether nobody says anything of it."""
        return self.piece is None and not self.claims

    @property
    def claims_text(self) -> str:
        """The claims in words, many of them counted."""
        named = [f"{item.name}{'' if item.certain else ' ?'}" for item in self.claims]
        if len(named) <= _SEVERAL:
            return ", ".join(named)
        return f"{len(named)} devices, {self.claims[0].name} to {self.claims[-1].name}"


class Scene(NamedTuple):
    """The picture of one result, lowest address first."""

    result: CheckResult
    bands: tuple[Band, ...]

    @property
    def title(self) -> str:
        """Whose tree it is, with the releases."""
        return title(self.result)


def title(result: CheckResult) -> str:
    """Return whose tree a result is of, with the releases."""
    xen = f", Xen {result.xen}" if result.xen else ""
    iommu = "" if result.iommu is None else f", IOMMU {'on' if result.iommu else 'off'}"
    return f"{result.path}: {result.domain or result.tree}, Linux {result.linux.name}{xen}{iommu}"


def scene(result: CheckResult) -> Scene:
    """Return the picture of a result; one without a kernel's answer shows what is known."""
    pieces = tuple(_pieces(result))
    claims = tuple(dict.fromkeys(_claims(result)))
    return Scene(result, tuple(_bands(pieces, claims)))


def _pieces(result: CheckResult) -> Iterator[Piece]:
    regions = [found for region in result.extended_regions if (found := region.checked()) is not None]
    room = result.answer.capacity if result.answer else None
    grant = result.grant_table.checked() if result.grant_table else None
    if grant is not None:
        yield Piece(grant, "grant", "grant table")
    if room is None or result.answer is None or result.answer.target_name != "xen_resource":
        for region in regions:
            yield Piece(region, "unreached", "extended region, not used")
        return
    size = result.linux.section_size
    number, taken = 0, []
    hit = {landing.number for landing in room.landings}
    for run in room.runs:
        for part in _split_run(run.start, run.sections, number, hit, size):
            taken.append(part.range)
            yield part
        number += run.sections
    if room.refusal is not None:
        with_whom = f" because of {room.refusal.by.name}" if room.refusal.by is not None else ""
        taken.append(room.refusal.range)
        yield Piece(room.refusal.range, "refused", f"refused{with_whom}")
    gaps = RangeSet(AddressRange(run.start, run.sections * size) for run in room.gaps)
    for region in regions:
        for rest in RangeSet([region]).difference(taken):
            yield from (Piece(part, "unreached", "never reached") for part in gaps.intersection([rest]))
            yield from _lost(RangeSet([rest]).difference(gaps), result.answer.limits)


def _lost(parts: Iterable[AddressRange], limits: PluggableRange | None) -> Iterator[Piece]:
    """Yield what gives no section: because the linear map does not reach it, or because no whole one is left."""
    for part in parts:
        reached = RangeSet([AddressRange.spanning(limits.low, limits.high + 1)]) if limits else RangeSet([part])
        for inside in reached.intersection([part]):
            yield Piece(inside, "lost", "lost: no whole section")
        for outside in RangeSet([part]).difference(reached):
            yield Piece(outside, "lost", "lost: the linear map does not reach it")


def _split_run(start: int, count: int, before: int, hit: set[int], size: int) -> Iterator[Piece]:
    """Cut a run of sections so that those laid over something stand alone."""
    at = 0
    while at < count:
        stop = at + 1
        kind = "hazard" if before + at in hit else "scratch"
        if kind == "scratch":
            ahead = [number - before for number in hit if before + at < number < before + count]
            stop = min(ahead, default=count)
        first, last = before + at + 1, before + stop
        what = "scratch" if kind == "scratch" else "scratch over something in use"
        label = f"section {first}: {what}" if first == last else f"sections {first} to {last}: {what}"
        yield Piece(AddressRange(start + at * size, (stop - at) * size), kind, label, first, last)
        at = stop


def _claims(result: CheckResult) -> Iterator[Claim]:
    if result.answer is None:
        for run in result.ram:
            yield Claim(run, "ram", "RAM", "", True)
        return
    view = result.iomem_view
    chains = {(user.source, user.range.start): user for user in result.answer.unseen}
    for child in view.children if view is not None else ():
        user = chains.get((child.source or "", child.range.start))
        yield from [_unseen(user)] if user is not None else _claim(child)
    # What a driver may claim stands in the view already, unless a claim of somebody else is in its way.
    places = {(child.source, child.range.start) for child in (view.children if view is not None else ())}
    for user in result.answer.unseen:
        if user.kind != "grant table" and (user.source, user.range.start) not in places:
            yield _unseen(user)


def _claim(child: View) -> Iterator[Claim]:
    found = child.range.checked()
    if found is None or child.name == "Xen scratch":
        return
    kind = {"System RAM": "ram", "reserved": "reserved"}.get(child.name, "device")
    name = child.name if kind != "device" else (child.source or child.name).rpartition("/")[2] or child.name
    yield Claim(found, kind, name, child.source or "", child.claim == "certain")


def _unseen(user: Unseen) -> Claim:
    kind = {"reservation": "reserved", "device": "device"}.get(user.kind, "pci")
    name = user.source.rpartition("/")[2] or user.source
    return Claim(user.range, kind, name, user.source, False, chain_text(user.chain))


def _bands(pieces: tuple[Piece, ...], claims: tuple[Claim, ...]) -> Iterator[Band]:
    grouped = _grouped(pieces, claims)
    spans = [*(item.range for item in pieces), *(span for span, _ in grouped)]
    edges = sorted({edge for span in spans for edge in (span.start, span.stop)})
    by_start = sorted(grouped, key=lambda item: item[0])
    for low, high in zip(edges, edges[1:], strict=False):
        band = AddressRange.spanning(low, high)
        piece = next((item for item in pieces if item.range.overlaps(band)), None)
        members = [claim for span, members in by_start if span.overlaps(band) for claim in members]
        yield Band(band, piece, tuple(members))


def _grouped(pieces: tuple[Piece, ...], claims: Iterable[Claim]) -> list[tuple[AddressRange, list[Claim]]]:
    """Join devices that follow each other with nothing between them that has to be seen."""
    seen = RangeSet(item.range for item in pieces)
    out: list[tuple[AddressRange, list[Claim]]] = []
    edges = sorted({edge for item in pieces for edge in (item.range.start, item.range.stop)})
    for claim in sorted(claims, key=lambda item: (item.range, item.node)):
        joins = claim.kind in _JOINED and not seen.touches(claim.range)
        if joins and out and out[-1][1][0].kind in _JOINED and not seen.touches(out[-1][0]):
            span = out[-1][0]
            between = any(span.stop <= edge <= claim.range.start for edge in edges)
            if not between and claim.range.start - span.stop < 1 << 28:
                stop = max(span.stop, claim.range.stop)
                out[-1] = (AddressRange.spanning(span.start, stop), [*out[-1][1], claim])
                continue
        out.append((claim.range, [claim]))
    return out

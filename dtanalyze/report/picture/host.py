"""A host on a page: who takes its RAM, what lies where on the machine, what each domain sees; or where Xen stops.

Machine addresses and what a domain sees have lanes of their own: equal numbers are not equal memory. The axis is broken into
pieces; each is linear and says its scale, and a block that goes on is cut at the break.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import RawRange
from dtanalyze.address.units import GIB, TIB, counted, format_size
from dtanalyze.facts import CheckResult, HostFacts, ScanNode
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.report.lines import sentence
from dtanalyze.report.picture.guest import assumed_html, cards_html, do_html, facts_html, guest_body
from dtanalyze.report.picture.marks import badge, block, cause, sized, span, swatch, words
from dtanalyze.report.picture.scene import Scene

__all__ = ["host_body"]

_BREAKS: Final = (0, GIB, 4 * GIB, 16 * GIB, 64 * GIB, TIB, 16 * TIB, 256 * TIB, 1 << 64)
_GAP: Final = 0.018
"""The part of the axis that a break takes."""


_LEGEND: Final = {
    "ram": "RAM",
    "scratch": "extended region",
    "unreached": "extended region, not used",
    "grant": "grant table",
    "xen": "Xen",
    "module": "boot module",
    "reserved": "reserved",
    "device": "device",
    "pci": "PCI window",
    "refused": "where Xen stops",
}


class _Block(NamedTuple):
    kind: str
    range: RawRange
    title: str
    label: str = ""


class _Segment(NamedTuple):
    """A piece of the axis: addresses, and where it is drawn from 0 to 1."""

    start: int
    stop: int
    left: float
    right: float


def host_body(scenes: tuple[Scene, ...], prefix: str) -> Iterator[str]:
    """Yield the picture of one boot of a host, with each of its domains."""
    worst = min(scenes, key=lambda item: WORST_FIRST.index(item.result.verdict))
    yield from _head(scenes, worst, prefix)
    machine = scenes[0].result.host
    if machine is not None and machine.scan:
        yield from _scan(worst, machine, f"{prefix}{scenes.index(worst)}-")
    if machine is not None and machine.scan and machine.stage == "boot-scan":
        yield '<div class="cards">'
        yield from cards_html(worst, f"{prefix}{scenes.index(worst)}-")
        yield assumed_html(worst.result)
        yield "</div>"
        return
    if machine is not None and machine.ram:
        yield from _shares(scenes, machine)
    if machine is not None:
        yield from _axis(scenes, machine)
    yield from _figures(scenes, machine, prefix)
    for number, item in enumerate(scenes):
        yield from _domain(item, f"{prefix}{number}-", opened=len(scenes) == 1 or item is worst and bool(item.cards))


def _head(scenes: tuple[Scene, ...], worst: Scene, prefix: str) -> Iterator[str]:
    result = worst.result
    domains = ", ".join(_name(item.result) for item in scenes)
    iommu = {True: "IOMMU on", False: "no IOMMU", None: ""}[result.iommu]
    kernel = f"Linux {result.linux.name} in every domain" if len(scenes) > 1 else f"Linux {result.linux.name}"
    title = f"{result.path}: {domains} on Xen {result.xen or ''}"
    yield f'<div class="top">{badge(result.verdict)}<div><h1>{words(title)}</h1>'
    yield f'<p class="mute s">{", ".join(item for item in (iommu, kernel) if item)}</p></div></div>'
    number = scenes.index(worst)
    key = worst.cards[0].key if worst.cards and result.verdict is not Verdict.SCRATCH else None
    link = " " + cause(key, f"{prefix}{number}-") if key else ""
    said = sentence(result.reason)
    if result.verdict is Verdict.SCRATCH and len(scenes) > 1:
        said = "Every domain gets scratch space, clear of everything it sees."
    elif len({item.result.reason for item in scenes}) > 1:
        said = f"{_name(result)}: {said}"
    yield f'<p class="say">{words(said)}{link}</p>'
    if len(scenes) == 1:
        yield facts_html(worst)
    elif result.verdict is not Verdict.NO_BOOT:
        items = "".join(
            f"<li>{words(_name(item.result))} {badge(item.result.verdict, small=True)} <b>{item.result.sections}</b> "
            f"{'section' if item.result.sections == 1 else 'sections'}</li>"
            for item in scenes
        )
        yield f'<ul class="facts">{items}</ul>'
    yield do_html(worst)


def _name(result: CheckResult) -> str:
    return (result.domain or result.tree).rpartition("/")[2]


def _shares(scenes: tuple[Scene, ...], machine: HostFacts) -> Iterator[str]:
    """Yield who takes the RAM, to scale: amounts, since Xen tells no domain's place before it boots."""
    total = sum(item.range.size for item in machine.ram)
    taken = [(_name(item.result), sum(run.size for run in item.result.ram)) for item in scenes]
    taken = [(name, size) for name, size in taken if size]
    left = total - sum(size for _, size in taken)
    if not taken or left < 0:
        return
    yield f"<h2>Who takes the {format_size(total)}</h2>"
    parts = "".join(
        f'<li class="k-ram" style="flex:{size / total:.4f} 1 0" title="{words(name)} {format_size(size)}">'
        f"<span>{words(name)} </span><span>{format_size(size)}</span></li>"
        for name, size in taken
    )
    yield f'<ul class="bar">{parts}<li class="rest" style="flex:{left / total:.4f} 1 0">left {format_size(left)}</li></ul>'
    listed = ", ".join(f"{words(name)} {format_size(size)}" for name, size in taken)
    yield f'<p class="s">{listed}; left for Xen, modules, page tables and the heap: {format_size(left)}.</p>'
    yield '<p class="mute s">To scale, as amounts: Xen chooses the places when it boots.</p>'


def _axis(scenes: tuple[Scene, ...], machine: HostFacts) -> Iterator[str]:
    lanes = [
        ("Host RAM", "", [_Block("ram", item.range, f"RAM of {item.node}", "RAM") for item in machine.ram]),
        ("Xen, modules", _modules_note(machine), _modules(machine)),
        ("Reserved", "", [_Block("reserved", item.range, f"reserved: {item.node}") for item in machine.reserved]),
        ("Devices", f"{counted(len(machine.devices), 'range')}", _devices(machine)),
    ]
    seen = [(item, _upper(item), _lower(item)) for item in scenes]
    every = [one for _, _, blocks in lanes for one in blocks] + [one for _, up, low in seen for one in (*up, *low)]
    segments = _segments(one.range for one in every)
    if not segments:
        return
    yield "<h2>Two kinds of address</h2><h3>Machine addresses</h3>"
    yield _scale(segments)
    for name, note, blocks in lanes:
        text = note or ("" if blocks else "none in this tree")
        yield f'<div class="hl"><div><b>{name}</b><div class="mute s">{words(text)}</div></div>'
        yield f"{_lane(blocks, segments)}</div>"
    yield "<h3>What each domain sees</h3>"
    yield '<p class="mute s">Equal numbers in two domains are not the same memory.</p>'
    for item, up, low in seen:
        yield (
            f'<div class="hl"><div><b>{words(_name(item.result))}</b> {badge(item.result.verdict, small=True)}</div>'
            f"<div>{_lane(up, segments)}{_lane(low, segments)}</div></div>"
        )
    used = dict.fromkeys(one.kind for one in every)
    legend = "".join(f"<li>{swatch(kind)}{name}</li>" for kind, name in _LEGEND.items() if kind in used)
    yield f'<ul class="leg" aria-label="Legend">{legend}</ul>'


def _modules_note(machine: HostFacts) -> str:
    known = {item.kind for item in machine.modules}
    missing = [name for kind, name in (("Xen", "Xen"), ("Device Tree", "the tree itself")) if kind not in known]
    return f"{' and '.join(missing)}: place not known" if missing else ""


def _modules(machine: HostFacts) -> list[_Block]:
    return [
        _Block("xen" if item.kind == "Xen" else "module", item.range, f"{item.kind}, for {', '.join(item.users)}")
        for item in machine.modules
    ]


def _devices(machine: HostFacts) -> list[_Block]:
    """Return the devices; the one over which Xen stops has the thick edge that nothing else has."""
    return [
        _Block("refused", item.range, f"{item.node}: here Xen stops")
        if machine.stage is not None and item.node == machine.stop_node
        else _Block(
            "pci" if item.kind == "PCI window" else "device",
            item.range,
            item.node,
            "PCI" if item.kind == "PCI window" else "",
        )
        for item in machine.devices
    ]


def _upper(item: Scene) -> list[_Block]:
    result = item.result
    used = "scratch" if result.sections else "unreached"
    found = [
        _Block(used, region, f"extended region {number}", f"{number}: {format_size(region.size)}")
        for number, region in enumerate(result.extended_regions)
        if region.size
    ]
    return [*found, *([_Block("grant", result.grant_table, "grant table")] if result.grant_table else [])]


def _lower(item: Scene) -> list[_Block]:
    ram = [_Block("ram", RawRange(run.start, run.size), "RAM", "RAM") for run in item.result.ram]
    devices = [
        _Block(one.kind, RawRange(one.range.start, one.range.size), one.label)
        for one in item.claims
        if one.kind in ("device", "pci", "reserved")
    ]
    return [*ram, *devices]


def _segments(ranges: Iterable[RawRange]) -> list[_Segment]:
    listed = [item for item in ranges if item.size]
    spans = list(zip(_BREAKS, _BREAKS[1:], strict=False))
    used = [(low, high) for low, high in spans if any(item.start < high and low < item.stop for item in listed)]
    made = []
    width = (1 - _GAP * (len(used) - 1)) / len(used) if used else 0
    for place, (low, high) in enumerate(used):
        inside = [item for item in listed if item.start < high and low < item.stop]
        first = max(min(item.start for item in inside), low)
        last = min(max(item.stop for item in inside), high)
        unit = max((high - low) // 64, 1) if high < 1 << 64 else 1 << 40
        start, stop = max(first // unit * unit, low), min(-(-last // unit) * unit, high)
        left = place * (width + _GAP)
        made.append(_Segment(start, stop, left, left + width))
    return made


def _lane(blocks: list[_Block], segments: list[_Segment]) -> str:
    seen: set[tuple[str, int, int]] = set()
    parts = []
    for item in sorted(blocks, key=lambda one: (one.kind != "refused", one.kind != "pci", one.range.start)):
        for part in segments:
            low, high = max(item.range.start, part.start), min(item.range.stop, part.stop)
            if low >= high:
                continue
            scale = (part.right - part.left) / (part.stop - part.start)
            left, right = part.left + (low - part.start) * scale, part.left + (high - part.start) * scale
            place = (item.kind, round(left * 500), round(right * 500))
            if place in seen:
                continue
            seen.add(place)
            label = f'<span class="opt">{words(item.label)}</span>' if item.label and right - left > 0.09 else ""
            parts.append(block(item.kind, left, right, f"{item.title}, {sized(item.range)}", label))
    for one, other in zip(segments, segments[1:], strict=False):
        parts.append(block("break", one.right, other.left, "the axis is broken here"))
    return f'<div class="lane">{"".join(parts)}</div>'


def _scale(segments: list[_Segment]) -> str:
    ticks = "".join(_tick(part, "t2" if place % 2 else "") for place, part in enumerate(segments))
    return (
        '<div class="hl"><div class="mute s">Each piece is to its own scale</div>'
        f'<div class="ax" aria-hidden="true">{ticks}</div></div>'
    )


def _tick(part: _Segment, kind: str) -> str:
    text = f'{format_size(part.start)}<span class="opt">, {format_size(part.stop - part.start)} long</span>'
    return f'<span style="left:{100 * part.left:.2f}%" class="{kind}">{text}</span>'


def _figures(scenes: tuple[Scene, ...], machine: HostFacts | None, prefix: str) -> Iterator[str]:
    yield '<h2>The figures</h2><table class="wide"><thead><tr>'
    yield "".join(
        f'<th scope="col">{name}</th>'
        for name in ("Domain", "Verdict", "RAM", "Grant table", "Extended regions", "Sections")
    )
    yield "</tr></thead><tbody>"
    for number, item in enumerate(scenes):
        result = item.result
        regions = "<br>".join(f"{span(one)} {format_size(one.size)}" for one in result.extended_regions[:6])
        more = f"<br>and {len(result.extended_regions) - 6} more" if len(result.extended_regions) > 6 else ""
        ram = "<br>".join(f"{span(one)} {format_size(one.size)}" for one in result.ram[:4])
        cells = (
            ("RAM", f'<span class="m">{ram or "not known"}</span>'),
            ("Grant table", f'<span class="m">{span(result.grant_table) if result.grant_table else "none"}</span>'),
            ("Extended regions", f'<span class="m">{regions or "none"}{more}</span>'),
            ("Sections", str(result.sections)),
        )
        yield (
            f'<tr><td class="head"><a href="#{prefix}{number}-domain">{words(_name(result))}</a></td>'
            f'<td data-l="Verdict">{badge(result.verdict, small=True)}</td>'
            + "".join(f'<td data-l="{name}">{text}</td>' for name, text in cells)
            + "</tr>"
        )
    yield "</tbody></table>"
    if machine is not None and machine.modules:
        yield '<table class="wide"><thead><tr>'
        yield "".join(f'<th scope="col">{name}</th>' for name in ("Boot module", "Where", "Size", "Used by"))
        yield "</tr></thead><tbody>"
        for module in machine.modules:
            yield f'<tr><td class="head"><b>{words(module.kind)}</b></td>'
            yield f'<td data-l="Where"><span class="m">{span(module.range)}</span></td>'
            yield f'<td data-l="Size">{format_size(module.range.size)}</td>'
            yield f'<td data-l="Used by">{words(", ".join(module.users))}</td></tr>'
        yield "</tbody></table>"


def _domain(item: Scene, prefix: str, *, opened: bool) -> Iterator[str]:
    title = f"{_name(item.result)}, section by section"
    yield f'<details class="long" id="{prefix}domain"{" open" if opened else ""}><summary><b>{words(title)}</b></summary>'
    yield from guest_body(item, prefix)
    yield "</details>"


_WALKS: Final = {
    True: ("What Xen reads, in its order", "read", "not seen", "nodes before, all accepted"),
    False: ("What Xen hands to dom0 and builds, in its order", "done", "not reached", "nodes before, all done"),
}
"""Heading and words of the walk that a stop ends: the scan of the flat tree, or the making of the domains."""


def _scan(worst: Scene, machine: HostFacts, prefix: str) -> Iterator[str]:
    """Yield what Xen came to, where it stops and what it never comes to; the place to scale where the scan stops."""
    scans = not any(item.kind in ("device", "domain") for item in machine.scan)
    heading, done, undone, before = _WALKS[scans]
    yield f"<h2>{heading}</h2>"
    yield '<ol class="scan">'
    read = [item for item in machine.scan if item.state == "read"]
    if len(read) > 4:
        yield f"<li><b>{done}</b><span>{len(read) - 4} {before}</span></li>"
    for item in read[-4:]:
        yield f"<li><b>{done}</b><span>{_node(item)}</span></li>"
    key = worst.cards[0].key if worst.cards else None
    link = " " + cause(key, prefix) if key else ""
    stops = [_node(item) for item in machine.scan if item.state == "stops"]
    for told in stops or [f"{words(machine.stage or '')}: no node of the tree"]:
        yield f'<li class="stops"><b>✕ stops</b><span>{told}{link}</span></li>'
    yield from _unseen([item for item in machine.scan if item.state == "not seen"], undone)
    yield "</ol>"
    if scans:
        yield from _close_up(machine)


def _unseen(items: list[ScanNode], label: str) -> Iterator[str]:
    """Yield what Xen never comes to: the domains first, which a person knows by name."""
    ordered = sorted(items, key=lambda item: item.kind != "domain")
    if not ordered:
        return
    names = ", ".join(f"<code>{words(item.node)}</code>" for item in ordered[:12])
    rest = ", ".join(f"<code>{words(item.node)}</code>" for item in ordered[12:])
    more = f'<details class="long"><summary>and {len(ordered) - 12} more</summary>{rest}</details>' if rest else ""
    yield f'<li class="unseen"><b>{label}</b><span>{names}{more}</span></li>'


def _node(item: ScanNode) -> str:
    spans = ", ".join(f"{span(one)}, {format_size(one.size)}" for one in item.ranges[:3])
    return f'<code>{words(item.node)}</code><br><span class="m">{spans}</span>'


def _close_up(machine: HostFacts) -> Iterator[str]:
    """Yield the ranges around the node that stops Xen, to scale."""
    stop = next((item for item in machine.scan if item.state == "stops"), None)
    if stop is None or not stop.ranges:
        return
    place = stop.ranges[0]
    near = [
        (item, one)
        for item in machine.scan
        for one in item.ranges
        if item is not stop
        and one.start < place.stop + place.size
        and place.start < one.stop + place.size
        and item.kind != "memory"
    ]
    low = min([place.start, *(one.start for _, one in near)])
    high = max([place.stop, *(one.stop for _, one in near)])
    margin = max((high - low) // 8, 1)
    part = _Segment(max(low - margin, 0), high + margin, 0.0, 1.0)
    kinds = {"read": "reserved", "not seen": "outside"}
    others = [
        _Block(kinds.get(item.state, "reserved"), one, f"{item.node} ({item.state})", item.node.rpartition("/")[2])
        for item, one in near
    ]
    yield f"<h3>The place, to scale: {format_size(part.stop - part.start)}</h3>"
    yield '<div class="grid close" style="background:none">'
    yield _lane(others, [part])
    yield _lane([_Block("refused", place, stop.node)], [part])
    ram = [(item, one) for item in machine.scan if item.kind == "memory" for one in item.ranges if one.size]
    if ram:
        blocks = [_Block("outside", one, f"RAM of {item.node}, {item.state}", f"RAM, {item.state}") for item, one in ram]
        yield _lane(blocks, [part])
    yield f'</div><p class="m">{part.start:#x} to {part.stop - 1:#x}</p>'

"""docs/evidence.md: every recorded boot of fixtures/, what was predicted and what was seen, by release and cause."""

from __future__ import annotations

import io
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

from dtanalyze.analysis.verify import Given, Verified, verify
from dtanalyze.errors import InputError
from dtanalyze.evidence.bundle import Item, gathered
from dtanalyze.facts import Comparison
from dtanalyze.xen.options import XenOptions
from lab.advice import advice_table
from lab.offers import offers_table

__all__ = ["document", "items_of", "verified_boot"]

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
_CHANGED: Final = ("extreg=", "gnttabreg=", "extregcut=")
_MADE: Final = "`python -m lab {0} --record fixtures/lab/{1}.json` makes this table: Debian's Xen under QEMU."
_HEAD: Final = """# Predicted and seen

Every recorded boot in `fixtures/boots`, held against the prediction for its tree by `dtanalyze verify`. Made by `make docs`;
the lab (`make lab`) makes more. A Xen marked *changed* was made to write other regions than its search found: there the
differences are the point of the recording. One marked *IOMMU forced* takes the IOMMU's path without one, and is predicted
so.
"""


def items_of(name: str, boot: dict[str, Any]) -> Iterator[Item]:
    """Yield the files of a recorded boot, its log put together from the lines that were kept."""
    for kind, folder in (("host.dtb", "hosts"), ("guest.dtb", "boots")):
        path = FIXTURES / "dtb" / folder / f"{name}.dtb"
        if path.is_file():
            yield _item(kind, path.read_bytes())
    if boot["xen_version"]:
        iommu = "enabled" if boot["iommu"] else "disabled"
        lines = [f"(XEN) Xen version {boot['xen_version']} (x) (gcc)", f"(XEN) I/O virtualisation {iommu}"]
        end = [] if boot["outcome"] == "no-boot" else ["(XEN) Freed 368kB init memory."]
        yield _item("xen.txt", "\n".join([*lines, *_panics(boot["xen_messages"]), *end]).encode())
    for key in ("iomem_before", "iomem_after"):
        if boot[key]:
            yield _item(f"{key}.txt", "\n".join(boot[key]).encode())
    if boot["linux_version"]:
        yield _item("dmesg.txt", f"[    0.000000] Linux version {boot['linux_version']} (x) #1\n".encode())


def _panics(lines: list[str]) -> list[str]:
    """Return the lines with Xen's word before its last one, which the recordings left out."""
    if lines and "Could not set up" in lines[-1] or lines and "Failed to allocate" in lines[-1]:
        return [*lines[:-1], "(XEN) Panic on CPU 0:", lines[-1]]
    return lines


def _item(name: str, data: bytes) -> Item:
    return Item(name, lambda: io.BytesIO(data))


def verified_boot(name: str, boot: dict[str, Any]) -> Verified | None:
    """Return what ``verify`` says of a recorded boot, None where nothing was recorded that a machine said."""
    try:
        forced = True if "gtholes=" in (boot["xen_cmdline"] or "") else None
        return verify(gathered(items_of(name, boot)), Given(None, None, XenOptions(iommu=forced)))
    except InputError:
        return None


def document() -> str:
    """Return the page."""
    boots = {path.stem: json.loads(path.read_text()) for path in sorted((FIXTURES / "boots").glob("*.json"))}
    rows, causes = [], defaultdict(list)
    releases: dict[str, Counter[bool]] = defaultdict(Counter)
    for name, boot in boots.items():
        found = verified_boot(name, boot)
        if found is None:
            rows.append(f"| `{name}` | {_release(boot)} | {boot['linux_version'] or '-'} | {boot['outcome']} | no log | |")
            continue
        differing = found.differences
        releases[_release(boot)][not differing] += 1
        agreeing = sum(item.agrees is True for item in found.comparisons)
        for item in differing:
            causes[_cause(item, boot)].append(f"`{name}`: {item.what}")
        whats = ", ".join(item.what for item in differing) or "nothing"
        linux = boot["linux_version"] or "-"
        rows.append(f"| `{name}` | {_release(boot)} | {linux} | {boot['outcome']} | {agreeing} | {whats} |")
    tables = (_by_release(releases), [""], _by_cause(causes), [""], _by_boot(rows), _wider(), _followed())
    return "\n".join([_HEAD, *chain.from_iterable(tables)]) + "\n"


def _wider() -> Iterator[str]:
    """Yield the counts of the wider record: boots that are too many for the repository, in several states of their logs."""
    found: dict[str, dict[str, int]] = json.loads((FIXTURES / "lab" / "verified.json").read_text())
    yield from ("", "## The wider record", "")
    yield from (
        "Boots of Xen 4.16 to master under QEMU, of which the ones above are a part, each from its files alone: tree,",
        "console, dmesg, /proc/iomem, guest's tree. Where a Xen was changed to write given regions, these and dom0's tree",
        "differ. Where CPUs scrub the heap while Xen boots, the place of dom0's RAM is open. Made by",
        "`python -m tests.wide.verify_truth`.",
    )
    yield from ("", "| logs | boots | agree in everything | of a changed Xen | dom0's RAM open |")
    yield "| --- | --- | --- | --- | --- |"
    for state, counts in found.items():
        cells = [str(counts.get(key, 0)) for key in ("cases", "agree whole", "of a changed Xen", "dom0's RAM: None")]
        yield f"| {state} | {' | '.join(cells)} |"


def _followed() -> Iterator[str]:
    """Yield what became of offers and advice that were followed in the lab, as recorded."""
    for name, head, table in (
        ("offers", "## Changes that `fix` offers", offers_table),
        ("drawn", "## The same over random trees with one to three faults each", offers_table),
        ("advice", "## Advice, followed by hand", advice_table),
    ):
        command = "offers --seeds 9300-9379" if name == "drawn" else name
        yield from ("", head, "", _MADE.format(command, name), "")
        yield from table(json.loads((FIXTURES / "lab" / f"{name}.json").read_text()))


def _release(boot: dict[str, Any]) -> str:
    cmdline = boot["xen_cmdline"] or ""
    changed = ", changed" if any(word in cmdline for word in _CHANGED) else ""
    forced = ", IOMMU forced" if "gtholes=" in cmdline else ""
    return f"{boot['xen_version'] or 'none'}{changed}{forced}"


def _cause(item: Comparison, boot: dict[str, Any]) -> str:
    cmdline = boot["xen_cmdline"] or ""
    if any(word in cmdline for word in _CHANGED):
        return "this Xen was changed to write given regions"
    return item.cause or "not known"


def _by_release(releases: dict[str, Counter[bool]]) -> list[str]:
    rows = [f"| {name} | {count.total()} | {count[True]} |" for name, count in sorted(releases.items())]
    return ["## By release", "", "| Xen | boots | agree in everything |", "| --- | --- | --- |", *rows]


def _by_cause(causes: dict[str, list[str]]) -> list[str]:
    lines = ["## By cause", ""]
    for cause, places in sorted(causes.items()):
        lines += [f"* **{cause}**: {'; '.join(places)}"]
    return lines if causes else [*lines, "Nothing differs."]


def _by_boot(rows: list[str]) -> list[str]:
    head = ["## By boot", "", "| boot | Xen | Linux | outcome | things that agree | differs |"]
    return [*head, "| --- | --- | --- | --- | --- | --- |", *rows]

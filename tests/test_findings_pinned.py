"""The findings of every shipped boot and board, as ``findings.txt`` lists them: rule, severity and node of each.

The list was read once by somebody who had not written the rules, each error and warning against its tree and, where a boot
was recorded, against what Xen and Linux did. What rests on the regions' numbers alone is worked out here a second time,
from the tree as the ``fdt`` package reads it and by schoolbook arithmetic.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import fdt
import pytest

from tests.conftest import FIXTURES
from tests.xen.host_boots import Case, arguments, run

LIST = Path(__file__).with_name("findings.txt")
SECTION, CUT = 128 << 20, 2 << 20


class Pinned(NamedTuple):
    """One tree with the options that it is asked with, and how often each line is told."""

    tree: str
    options: tuple[str, ...]
    told: Counter[str]


def pinned() -> Iterator[Pinned]:
    """Yield each block of the list: a line with the tree and its options, then its findings, set in."""
    for block in re.split(r"\n(?=\S)", LIST.read_text(encoding="utf-8").partition("\n\n")[2]):
        head, *lines = [line for line in block.splitlines() if line.strip() and not line.lstrip().startswith("#")] or [""]
        if head:
            tree, *options = shlex.split(head)
            told: Counter[str] = Counter()
            for line in lines:
                found = re.fullmatch(r"  (error|warning|info) +(\S+) (\S+)(?: in (\S+))?(?: x(\d+))?", line)
                assert found is not None, line
                told[" ".join(item for item in found.groups()[:4] if item)] = int(found[5] or 1)
            yield Pinned(tree, tuple(options), told)


CASES = list(pinned())


def told(tree: str, options: tuple[str, ...]) -> Counter[str]:
    """Return what ``check`` tells of a tree."""
    answer = run("check", str(FIXTURES / tree), *(item.replace("FIXTURES", str(FIXTURES)) for item in options))
    assert answer["errors"] == []
    return Counter(
        " ".join(
            [item["severity"], item["rule"], item["node"] or "-"]
            + ([result["domain"]] if result["domain"] not in (None, "dom0") else [])
        )
        for result in answer["results"]
        for item in result["findings"]
    )


def block(tree: str, options: tuple[str, ...]) -> str:
    """Return what the list would have of a tree, to be read before it is written there."""
    found = told(tree, options)
    lines = [shlex.join([tree, *options])]
    for line in sorted(found, key=lambda line: ("ewi".index(line[0]), line)):
        severity, rule, node, *domain = line.split(" ")
        also = "".join(f" in {name}" for name in domain) + (f" x{found[line]}" if found[line] > 1 else "")
        lines.append(f"  {severity:7} {rule} {node}{also}")
    return "\n".join(lines)


@pytest.mark.parametrize("case", CASES, ids=[f"{item.tree}" for item in CASES])
def test_findings(case: Pinned) -> None:
    assert told(case.tree, case.options) == case.told, f"once it is read and true, {LIST.name} has:\n" + block(*case[:2])


def asked(tree: str) -> tuple[str, ...]:
    """Return the options for a recorded boot that the list does not have yet."""
    folder = (FIXTURES / tree).parent
    case = Case(folder, json.loads((folder / "case.json").read_text(encoding="utf-8")))
    words = [item.replace(str(FIXTURES), "FIXTURES") for item in arguments(case, Path(os.devnull))]
    if "--xen-config" in words:  # what it says is what Xen is taken to be built with anyway
        place = words.index("--xen-config")
        del words[place : place + 2]
    return ("--linux", "6.12", *words)


def test_the_list_has_every_shipped_tree() -> None:
    folders = ("dtb/boots", "dtb/hosts", "dtb/boards")
    shipped = {f"{folder}/{path.name}" for folder in folders for path in (FIXTURES / folder).glob("*.dtb")}
    shipped |= {f"host-boots/{path.parent.name}/{path.name}" for path in (FIXTURES / "host-boots").glob("*/host.dtb")}
    listed = {item.tree for item in CASES}
    new = [block(tree, asked(tree)) for tree in sorted(shipped - listed) if tree.startswith("host-boots/")]
    assert listed == shipped, f"once they are read and true, {LIST.name} has:\n" + "\n".join(new)


def test_what_is_said_to_stop_xen_stopped_it() -> None:
    """Every recorded boot that Xen did not survive has an error, whose severity nothing here takes from a rule."""
    for case in CASES:
        if case.tree.startswith("host-boots/"):
            said = json.loads((FIXTURES / case.tree).with_name("case.json").read_text(encoding="utf-8"))
            if said["outcome"] == "no-boot":
                assert any(line.startswith("error") for line in case.told), case.tree


GUESTS = [item for item in CASES if item.tree.startswith("dtb/boots/") and "--as" not in item.options]


def numbers(tree: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return the regions and the RAM of a guest's tree, each as start and size; all have two cells for both."""
    parsed = fdt.parse_dtb((FIXTURES / tree).read_bytes())

    def pairs(path: str) -> list[tuple[int, int]]:
        cells = list(parsed.get_property("reg", path))
        wide = [high << 32 | low for high, low in zip(cells[::2], cells[1::2], strict=False)]
        return list(zip(wide[::2], wide[1::2], strict=False))

    ram = [pair for node in parsed.root.nodes if node.name.startswith("memory") for pair in pairs(node.name)]
    return pairs("hypervisor")[1:] if parsed.exist_node("hypervisor") else [], ram


@pytest.mark.parametrize("case", GUESTS, ids=[item.tree for item in GUESTS])
def test_numbers_by_hand(case: Pinned) -> None:
    """Order, RAM, alignment and the cut of Xen 4.18 to 4.20, for sets that Linux takes (a 4K kernel with 48 bits)."""
    regions, ram = numbers(case.tree)
    sound = [(start, start + size) for start, size in regions if size and start + size <= 1 << 64]
    falling = sum(later[0] < earlier[1] for earlier, later in zip(sound, sound[1:], strict=False))
    assert case.told["error X08 /hypervisor"] == falling
    on_ram = sum(start < low + size and low < stop for start, stop in sound for low, size in ram)
    assert sum(count for line, count in case.told.items() if " X03 " in line) == on_ram
    if not ram or falling or len(sound) < len(regions) or "--linux 6.1 " in " ".join(case.options):
        return
    lowest = min(start for start, _ in ram) >> 30 << 30
    inside = [(max(start, lowest), min(stop, lowest + (1 << 47))) for start, stop in sound]
    whole = [stop // SECTION - -(-start // SECTION) for start, stop in inside]
    losing = [max(got, 0) < (stop - start) // SECTION for (start, stop), got in zip(inside, whole, strict=True)]
    small = [0 < stop - start < SECTION for start, stop in inside]
    assert case.told["warning X12 /hypervisor"] == sum(
        start < stop and got <= 0 and (less or tiny)
        for (start, stop), got, less, tiny in zip(inside, whole, losing, small, strict=True)
    )
    assert case.told["info X12 /hypervisor"] == sum(got > 0 and less for got, less in zip(whole, losing, strict=True))
    below = [(start, min(stop, lowest)) for start, stop in sound if start < lowest]
    lost = [stop // SECTION > -(-start // SECTION) for start, stop in below]
    assert (case.told["warning X13 /hypervisor"], case.told["info X13 /hypervisor"]) == (sum(lost), len(lost) - sum(lost))
    free = [stop for start, stop in inside if (stop + CUT) % SECTION == 0 and stop + CUT - start >= SECTION]
    if any(f"--xen 4.{minor}" in " ".join(case.options) for minor in (18, 19, 20)):
        assert case.told["warning X17 /hypervisor"] == len(free)
    else:
        assert case.told["warning X17 /hypervisor"] == 0

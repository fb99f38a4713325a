"""Comparison with recorded answers of the real Xen code: banks, panics, regions, error codes, messages, addresses.

As a command (``python -m tests.xen.oracle DIR``) it reads every ``xen-RELEASE.jsonl.xz`` of a folder and the boards'
archive beside them, and prints agreements and each disagreement.
"""

from __future__ import annotations

import hashlib
import json
import lzma
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fdt

from dtanalyze.address.range import AddressRange
from dtanalyze.board.build import pci_windows
from dtanalyze.board.bus import XEN
from dtanalyze.board.translate import Translated, reg_entries
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.bootinfo import BankType, BootInfo, Module
from dtanalyze.xen.domain_build import find_memory_holes, find_unallocated_memory
from dtanalyze.xen.profile import XenProfile, preset
from dtanalyze.xen.regions import Regions

DTB_PADDR = 0xFFFE00000000
CODES = {None: 0, "ENOENT": -2, "EINVAL": -22, "ERANGE": -34, "crash": None}


def substituted(blob: bytes, reservations: list[tuple[int, int]]) -> bytes:
    """The records' declared substitute for a tree without RAM: memory nodes out, 2 GiB at 1 GiB in as first child."""
    tree = fdt.parse_dtb(blob)
    tree.entries = [{"address": start, "size": size} for start, size in reservations]
    cells = {}
    for name, default in (("#address-cells", 2), ("#size-cells", 1)):
        found = tree.root.get_property(name)
        cells[name] = found.value if found else default
    for node in list(tree.root.nodes):
        device_type = node.get_property("device_type")
        named = node.name == "memory" or node.name.startswith("memory@")
        if named or (device_type is not None and list(device_type.data) == ["memory"]):
            tree.root.nodes.remove(node)
    memory = fdt.Node("memory@40000000")
    words = [0] * (cells["#address-cells"] - 1) + [0x40000000] + [0] * (cells["#size-cells"] - 1) + [0x80000000]
    memory.append(fdt.PropWords("reg", *words))
    memory.append(fdt.PropStrings("device_type", "memory"))
    tree.root.append(memory)
    tree.root.nodes.remove(memory)
    tree.root.nodes.insert(0, memory)
    return bytes(tree.to_dtb(version=17))


def disagreements(record: dict[str, Any], blob: bytes, profile: XenProfile, tally: Counter[str]) -> Iterator[str]:
    """Yield a line for each answer of ``record`` that differs; count what was compared in ``tally``."""
    assert hashlib.sha256(blob).hexdigest() == record["sha256"], record["dtb"]
    for variant in ("raw", "subst"):
        if variant not in record:
            continue
        data = blob
        if variant == "subst":
            data = substituted(blob, [(raw.start, raw.size) for raw, _ in parse(blob).reservations])
        for line in _variant(record[variant], parse(data), len(data), profile, tally):
            yield f"{record['dtb']} ({variant}): {line}"


def _variant(recorded: dict[str, Any], tree: Tree, size: int, profile: XenProfile, tally: Counter[str]) -> Iterator[str]:
    info = boot_fdt_info(tree, profile, modules=(Module("Device Tree", DTB_PADDR, size, "", False),))
    boot = recorded["boot"]
    panic = boot["panic"].strip() if boot["panic"] else None
    yield from _same("panic", info.panic, panic, tally)
    yield from _same("memory banks", [[hex(b.start), hex(b.stop)] for b in info.mem], [b[:2] for b in boot["mem"]], tally)
    mine = [[hex(b.start), hex(b.stop), _bank_type(b.type)] for b in info.reserved_mem]
    yield from _same("reserved banks", mine, boot["reserved_mem"], tally)
    if "addresses" in recorded:
        yield from _addresses(recorded, tree, tally)
    for bits, answer in (recorded.get("A") or {}).items():
        found = find_memory_holes(tree, profile, int(bits))
        yield from _regions(f"holes, {bits} bits", found, answer, tally)
        if answer["rc"] == -22:
            printed = any(found.message is not None and found.message in line for line in answer["messages"])
            yield from _same(f"message, {bits} bits", printed, True, tally)
    if recorded.get("B"):
        yield from _unallocated(recorded["B"], info, profile, tally)


def _bank_type(kind: BankType) -> int:
    return 3 if kind is BankType.FDT_RESVMEM else 0


def _unallocated(recorded: dict[str, Any], info: BootInfo, profile: XenProfile, tally: Counter[str]) -> Iterator[str]:
    grant = _range(recorded["gnttab"])
    for placement in ("B1", "B2"):
        answers = recorded.get(placement)
        if not answers:
            continue
        dom0 = answers["dom0_mem"] or []
        banks = [_range(dom0)] if dom0 and isinstance(dom0[0], str) else [_range(item) for item in dom0]
        for bits in ("40", "44", "48"):
            found = find_unallocated_memory(info, profile, int(bits), banks, grant)
            yield from _regions(f"unallocated {placement}, {bits} bits", found, answers[bits], tally)


def _range(pair: list[str]) -> AddressRange:
    return AddressRange.spanning(int(pair[0], 16), int(pair[1], 16))


def _regions(what: str, found: Regions, answer: dict[str, Any], tally: Counter[str]) -> Iterator[str]:
    mine = (CODES[found.error], [[hex(item.start), hex(item.stop)] for item in found.ranges])
    yield from _same(what, mine, (answer["rc"], answer["regions"]), tally)


def _addresses(recorded: dict[str, Any], tree: Tree, tally: Counter[str]) -> Iterator[str]:
    mine: list[list[Any]] = []
    for node in tree.root:
        for entry in reg_entries(node, XEN):
            if entry.address is None:
                mine.append([node.path, entry.nth, -22, None, None])
            else:
                mine.append([node.path, entry.nth, 0, hex(entry.address), hex(entry.size)])
    yield from _same("addresses", mine, recorded["addresses"], tally)
    windows = [
        [
            node.path,
            0,
            [[hex(w.where.address), hex(w.size)] for w in pci_windows(node, XEN) if isinstance(w.where, Translated)],
        ]
        for node in tree.root
        if node.device_type == "pci" and node.prop("ranges")
    ]
    yield from _same("PCI ranges", windows, recorded["pci_ranges"], tally)


def _same(what: str, mine: object, recorded: object, tally: Counter[str]) -> Iterator[str]:
    tally[what.partition(",")[0]] += 1
    if mine != recorded:
        yield f"{what}: {mine} instead of {recorded}"


def main(folder: Path) -> int:
    """Compare with every record of ``folder``; return the number of disagreements."""
    boards: dict[str, bytes] = {}
    with tarfile.open(next(folder.glob("*dtbs.tar.xz"))) as archive:
        for member in archive:
            reader = archive.extractfile(member)
            if reader is not None:
                boards[member.name.removeprefix("./")] = reader.read()
    failures = 0
    for path in sorted(folder.glob("xen-*.jsonl.xz")):
        release = path.name.removeprefix("xen-").removesuffix(".jsonl.xz")
        tally: Counter[str] = Counter()
        differ = 0
        with lzma.open(path, "rt") as lines:
            for line in lines:
                record = json.loads(line)
                for text in disagreements(record, boards[record["dtb"]], preset(release), tally):
                    differ += 1
                    print(f"{release}: {text[:400]}")
        compared = sum(tally.values())
        print(f"{release}: {compared - differ} of {compared} answers agree")
        print("  " + ", ".join(f"{count} {what}" for what, count in sorted(tally.items())))
        failures += differ
    return failures


if __name__ == "__main__":
    sys.exit(1 if main(Path(sys.argv[1])) else 0)

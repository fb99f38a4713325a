"""``python -m tests.wide.boards BOARDS > docs/boards.md``: every error over a folder of real boards, each class judged by hand.

Leaves with status 1 when a board crashes the tool or a class of errors has not been judged.
"""

from __future__ import annotations

import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

from dtanalyze.analysis import CheckOptions, HostQuestion, check
from dtanalyze.findings import Severity
from dtanalyze.linux.profile import PRESETS as LINUX
from dtanalyze.xen.profile import PRESETS as XEN

CELLS = (("4.22", None), ("4.20", None), ("4.19", None), ("4.17", None), ("4.22", True))

JUDGED = {
    "V-no-boot": "true: the rules below it say why",
    "V-unknown": "true: the tree lists no RAM, a boot loader fills it in",
    "V-hazard": "true: X01 or X02 says on what",
    "V-conflict": "true: X01, X02 or X03 says with what",
    "V-exhausted": "true: X11 says why",
    "B01": "true: seen on a Raspberry Pi 4; Layerscape boards have one interrupt for two UARTs",
    "B02": "true by Xen's source: Rockchip trees name one SPI as level and as edge; no recorded boot has it",
    "B03": "true for the RAM that the tree lists: boards of 512 MiB or less, or a loader fills in more",
    "B04": "true by Xen's source: a device names an IOMMU that is there and that this Xen has no driver for (the GPU's, of sc7180, "
    "sdm845 and their like), and find_smmu finds none",
    "B05": "true in every release: the two memory entries of exynosautov920-sadk overlap, and its own boot was recorded; up to 4.19 "
    "also children of /reserved-memory called memory@…",
    "B07": "true by Xen's source: a GIC-400 without the registers or the interrupt that virtualisation needs, Qualcomm's "
    "GICv2 under its own name",
    "B06": "true: kernel, ramdisk and tree are larger than dom0's first bank",
    "C02": "true: Xen's command line asks for what the board has not",
    "D20": "true: no module is a kernel",
    "O01": "true: memory@0 of the Raspberry Pi 3 reaches over the peripherals, ac5x and vim4 list 8 GiB in one piece",
    "X01": "true: with Xen 4.18 the rangeset's defect gives back the gap; else RAM over devices (O01)",
    "X02": "true: RAM over PCI windows (O01)",
    "X03": "true: the rangeset's defect gives RAM back",
    "X08": "true: regions above 4 GiB are cut to 32 bits (X18)",
    "X09": "true: a hole that ends at 2^64 is written with size zero into a 32-bit cell",
    "X11": "true: no aligned section is left beside dom0",
    "X18": "true: one address cell, and Xen 4.18 offers holes above 4 GiB",
    "X29": "true: the grant table lies in memory that the tree calls reserved",
    "X31": "true: Raspberry Pi 3 boards have no GIC, so dom0's tree has no controller for the event channel",
    "X33": "true: placeholders of reserved memory that no loader has filled in",
    "X34": "true: 125 boards, those whose untranslatable reg stopped the real Xen code, and the like with an IOMMU",
    "X39": "true: 27 boards whose reserved regions overlap; with 4.18 two more, whose disabled nodes count",
    "X46": "true for Xen: nodes called memory without reg",
    "X47": "true: imx8mp-evk's disabled DSP reservation and its kind, which Xen 4.18 counts",
}


STAGES = {
    "boot-scan": "true: overlapping reserved regions (X39); 4.19 and newer panic, 4.18 sees no RAM that stands behind them",
    "interrupt-controller": "true by Xen's source: no node of a kind that Xen drives, or a GICv2 without what virtualisation needs",
    "platform": "true by Xen's source: APM's firmware of before 2015 is refused by its tree's words",
    "dom0-memory": "true for the RAM that the tree lists (B03)",
    "dom0-devices": "true: B01, B02, B04 and X34 say which device",
}
MEMORY = {
    "Unable to setup the directmap mappings.": "true for 4.17 to 4.19: a child of /reserved-memory called memory@… inside RAM "
    "counts as a bank",
    "Xen BUG at": "true in every release: the two memory entries of exynosautov920-sadk overlap, and its own boot was recorded",
}
"""The stage of memory stops for two causes, told by Xen's line."""
_NO_BOOT = ("V-no-boot", "xen-stops-before-linux")
_STOP = re.compile(r"Xen \S+ stops \((?P<stage>[\w-]+)\): (?P<line>[^;(]*)")


def _stop(message: str) -> tuple[str, str]:
    """Return the stage and the first of Xen's lines, without what differs from board to board."""
    match = _STOP.match(message)
    if match is None:
        return "?", message
    return match["stage"], re.sub(r"/\S+|\b0x[0-9a-f]+|\d{2,}", "…", match["line"]).strip()


def _stops(tables: list[dict[tuple[str, str], list[tuple[str, str]]]]) -> list[tuple[str, str]]:
    return sorted({_stop(message) for table in tables for _, message in table.get(_NO_BOOT, [])})


def _judged(stage: str, line: str) -> str | None:
    by_line = next((words for start, words in MEMORY.items() if stage == "memory" and line.startswith(start)), None)
    return by_line or STAGES.get(stage)


def main(folder: Path) -> int:
    """Print the document."""
    paths = sorted(folder.rglob("*.dtb"))
    tables: list[dict[tuple[str, str], list[tuple[str, str]]]] = []
    crashes = []
    for xen, iommu in CELLS:
        found: dict[tuple[str, str], list[tuple[str, str]]] = defaultdict(list)
        for path in paths:
            try:
                for rule, name, message in _errors(path, xen, iommu):
                    found[rule, name].append((path.name, message))
            except Exception as error:  # noqa: BLE001  # a crash is what is looked for, whatever it is
                crashes.append(f"{path.name}: {error!r}")
        tables.append(found)
    keys = sorted({key for table in tables for key in table})
    sys.stdout.write("\n".join(_document(len(paths), tables, keys)) + "\n")
    unjudged = [rule for rule, _ in keys if rule not in JUDGED]
    unjudged += sorted({f"{stage}: {line}" for stage, line in _stops(tables) if _judged(stage, line) is None})
    for line in (*crashes, *(f"not judged: {rule}" for rule in unjudged)):
        sys.stderr.write(line + "\n")
    return 1 if crashes or unjudged else 0


def _errors(path: Path, xen: str, iommu: bool | None) -> Iterator[tuple[str, str, str]]:
    options = CheckOptions(linux=LINUX["6.12"])
    question = HostQuestion(options, (options.linux,), (XEN[xen],), (iommu,))
    for result in check(path.read_bytes(), path.name, options, question):
        for item in result.findings:
            if item.severity is Severity.ERROR:
                yield item.rule, item.name, item.message


def _document(
    count: int, tables: list[dict[tuple[str, str], list[tuple[str, str]]]], keys: list[tuple[str, str]]
) -> Iterator[str]:
    heads = [f"Xen {xen}{', IOMMU on' if iommu else ''}" for xen, iommu in CELLS]
    yield "# Errors over real boards"
    yield ""
    yield f"All {count} arm64 trees of Linux 6.12 as the kernel builds them, RAM as they list it, read for Linux 6.12. Where"
    yield "nothing is said, the IOMMU is left to the tree. Cells: boards (findings). Made by `python -m tests.wide.boards`; each class was judged"
    yield "by looking at trees that show it."
    yield ""
    yield "| rule | name | " + " | ".join(heads) + " | judged |"
    yield "| --- | --- | " + "--- | " * len(heads) + "--- |"
    for rule, name in keys:
        cells = []
        for table in tables:
            hits = table.get((rule, name), [])
            cells.append(f"{len({board for board, _ in hits})} ({len(hits)})" if hits else "")
        yield f"| {rule} | {name} | " + " | ".join(cells) + f" | {JUDGED.get(rule, 'NOT JUDGED')} |"
    yield ""
    yield "## What stops Xen, by stage"
    yield ""
    yield "| stage | Xen's line | " + " | ".join(heads) + " | judged |"
    yield "| --- | --- | " + "--- | " * len(heads) + "--- |"
    stops = [Counter(_stop(message) for _, message in table.get(_NO_BOOT, [])) for table in tables]
    for stage, line in _stops(tables):
        counts = " | ".join(str(table[stage, line] or "") for table in stops)
        yield f"| {stage} | {line} | {counts} | {_judged(stage, line) or 'NOT JUDGED'} |"
    yield ""
    yield "## One of each"
    yield ""
    for rule, name in keys:
        board, message = next(table[rule, name][0] for table in tables if (rule, name) in table)
        yield f"* **{rule}** `{board}`: {message.replace('|', '/')}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

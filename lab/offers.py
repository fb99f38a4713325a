"""Every change that ``fix`` offers, made as its reader would: compiled, applied, booted, held against what it promised."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from dtanalyze.analysis.fix import fix
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.analysis.verify import Given, verify
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import BlobError, InputError
from dtanalyze.evidence.bundle import Item, gathered
from dtanalyze.evidence.lines import lines_of
from dtanalyze.evidence.xen_console import XenConsole, read_xen_console
from dtanalyze.facts import Fix
from dtanalyze.findings import Severity
from dtanalyze.report.fix import overlay_text
from dtanalyze.xen.build import BUILDS
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.profile import PRESETS
from lab.faulty import Faulty
from lab.host_tree import grant_table
from lab.machine import MachineError
from lab.packages import MissingError
from lab.releases import XenBuild
from lab.run import as_printed, start_tree

__all__ = ["STARTED", "booted", "check_tools", "known", "offers_table", "tried"]

STARTED: Final = "starts its domains"


def check_tools() -> None:
    """Raise `MissingError` when the overlay could not be compiled or applied."""
    for tool in ("dtc", "fdtoverlay"):
        if shutil.which(tool) is None:
            raise MissingError(f"{tool} is not there: apt-get install device-tree-compiler")


def tried(faulty: Faulty, xen: XenBuild, folder: Path) -> dict[str, Any]:
    """Return the record of one tree: what was offered, what it promised, and what the machine did before and after.

    ``folder`` keeps the trees, the overlay and the consoles; the record is written last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "host.dtb").write_bytes(faulty.blob)
    found = _fixed(faulty)
    record: dict[str, Any] = {
        "name": faulty.name,
        "origin": faulty.origin,
        "xen": xen.package.version,
        "verdict": found.before[0].verdict.value,
        "before": booted(faulty, faulty.blob, xen, folder / "before"),
        "rules": sorted({item.rule for offer in found.offers for item in offer.cured}),
        "changes": [str(item) for item in found.changes],
        "reasons": sorted({item.rule for item in found.before[0].findings if item.severity is Severity.ERROR}),
        "promised": found.after[0].verdict.value,
    }
    if found.edits:
        blob, problem = _applied(found, faulty, folder)
        record["overlay"] = problem or "applies"
        record["after"] = booted(faulty, blob, xen, folder / "after")
        record["differs"] = _differences(faulty._replace(blob=blob), folder / "after")
        record["kept"] = (record["after"] == STARTED) == (record["promised"] != "no-boot") and not record["differs"]
    (folder / "offer.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def _fixed(faulty: Faulty) -> Fix:
    options = CheckOptions()
    question = HostQuestion(options, (options.linux,), (PRESETS[faulty.xen],), (None,), known(faulty))
    return fix(faulty.blob, faulty.name, options, question)


def known(faulty: Faulty) -> XenOptions:
    """Return what the loader decides, and the tree does not say."""
    machine = faulty.machine
    grant = grant_table(parse(faulty.blob), machine.xen)
    return XenOptions(build=BUILDS["debian"], fdt_address=machine.tree, grant_table=grant)


def _applied(found: Fix, faulty: Faulty, folder: Path) -> tuple[bytes, str]:
    """Return the tree with the overlay applied by dtc and fdtoverlay, and what went wrong.

    What no overlay can say is in the tree that ``fix --apply`` writes, and that one is booted.
    """
    source, overlay, made = (folder / name for name in ("fix.dtso", "fix.dtbo", "fixed.dtb"))
    source.write_text(overlay_text(found, faulty.name))
    commands = (
        ["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-o", str(overlay), str(source)],
        ["fdtoverlay", "-i", str(folder / "host.dtb"), "-o", str(made), str(overlay)],
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            return found.blob, f"{command[0]}: {' '.join(done.stderr.split())[:200]}"
    unsaid = next((item.unsaid for item in found.edits if item.unsaid), "")
    if unsaid:
        made.write_bytes(found.blob)
        return found.blob, f"fix --apply: {unsaid}"
    blob = made.read_bytes()
    same = _content(blob) == _content(found.blob)
    return blob, "" if same else "the tree differs from the one that was tried"


def _content(blob: bytes) -> dict[tuple[str, str], bytes] | str:
    try:
        root = parse(blob).root
    except BlobError as error:
        return str(error)
    return {(node.path, name): prop.value for node in root for name, prop in node.properties.items()}


def booted(faulty: Faulty, blob: bytes, xen: XenBuild, folder: Path) -> str:
    """Boot a tree; return how far Xen came."""
    folder.mkdir(exist_ok=True)
    machine = faulty.machine
    ready = machine._replace(images=((machine.xen, xen.image),))
    try:
        started = start_tree(ready, blob, {})
    except (MachineError, InputError) as error:
        return f"not started: {error}"
    (folder / "xen.txt").write_text(started.console)
    (folder / "host.dtb").write_bytes(blob)
    for name, data in started.memory.items():
        (folder / name).write_bytes(data)
    said = _console(started.console)
    if said.ended is not None:
        return f"stops: {said.ended.value}"
    return STARTED if said.started is not None else "ends without a word"


def _console(text: str) -> XenConsole:
    try:
        return read_xen_console(lines_of(text))
    except InputError:
        return XenConsole()


def _differences(faulty: Faulty, folder: Path) -> list[str]:
    """Return what ``verify`` says of the boot after the change."""
    names = [name for name in ("host.dtb", "xen.txt", "guest.dtb") if (folder / name).is_file()]
    try:
        items = [_item(folder / name) for name in names]
        bundle = gathered(items)
        found = verify(bundle, Given(faulty.xen, None, as_printed(known(faulty), bundle)))
    except InputError as error:
        return [str(error)]
    return [f"{item.what}: predicted {item.predicted}; seen {item.seen}" for item in found.differences]


def _item(path: Path) -> Item:
    return Item(path.name, lambda: path.open("rb"))


def offers_table(records: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the page: by rule, then what was not as promised, then what nothing was offered for."""
    offered = [item for item in records if item.get("changes")]
    kept = sum(item["kept"] for item in offered)
    yield f"{len(records)} faulty trees, {len(offered)} with an offer; {kept} boot as promised."
    yield from ("", "| rule | trees | offers | as promised |", "| --- | --- | --- | --- |")
    for rule in sorted({rule for item in records for rule in (item["rules"] or item["reasons"])}):
        mine = [item for item in records if rule in (item["rules"] or item["reasons"])]
        some = [item for item in mine if item.get("changes")]
        yield f"| {rule} | {len(mine)} | {len(some)} | {sum(item['kept'] for item in some)} |"
    for item in offered:
        if not item["kept"]:
            yield from ("", f"* `{item['name']}` ({item['xen']}): promised {item['promised']}, {item['after']}")
            yield from (f"  * {line}" for line in item["differs"])

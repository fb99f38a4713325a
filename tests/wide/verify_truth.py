"""``python -m tests.wide.verify_truth ROOT... [--noise NAME] [--record FILE]``: every recorded boot, from its files alone.

Each case folder is given to ``verify`` whole; what does not agree is printed, by case. The record keeps the counts, of each state
of the logs that it was run with, for docs/evidence.md.
"""

from __future__ import annotations

import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dtanalyze.address.units import parse_range
from dtanalyze.analysis.verify import Given, Verified, verify
from dtanalyze.errors import DtanalyzeError
from dtanalyze.evidence.bundle import Item, gathered
from dtanalyze.xen.build import BUILDS, DEFAULT
from dtanalyze.xen.options import XenOptions
from tests.evidence.noise import NOISE

CHANGED = ("extreg=", "gnttabreg=", "extregcut=")
NOT_EVIDENCE = ("case.json", "xen-cmdline", "linux-cmdline", "resources-before.txt", "resources-after.txt")


def items(folder: Path, case: dict[str, Any], change: Callable[[str], str]) -> Iterator[Item]:
    """Yield the files of a case; where a recording kept no console, the lines that its record holds."""
    for path in sorted(folder.iterdir()):
        if path.name in NOT_EVIDENCE:
            continue
        data = path.read_bytes()
        if path.name == "xen.txt":
            data = change(data.decode("utf-8", "replace")).encode()
        yield Item(path.name, lambda data=data: io.BytesIO(data))  # type: ignore[misc]
    if not (folder / "xen.txt").exists() and case.get("xen_messages"):
        lines = [f"(XEN) Xen version {case['xen_version']} (gcc) debug=n", *case["xen_messages"]]
        text = change("\n".join(lines)).encode()
        yield Item("xen_messages", lambda: io.BytesIO(text))


def given(case: dict[str, Any], xen_cmdline: str = "") -> Given:
    """Return what the recording says and no file of it: the release, and what the loader did."""
    options = dict(zip(case.get("options", [])[::2], case.get("options", [])[1::2], strict=False))
    fdt = options.get("--fdt-address")
    grant = options.get("--grant-table")
    table = parse_range(grant) if grant else None
    if table is None and case.get("grant_table") and case["guest"] == "dom0":
        table = parse_range("-".join(case["grant_table"]))
    release = case.get("xen_release")
    # "treat as IOMMU on": a Xen that was made to take that path without one.
    forced = True if case.get("iommu") is True or "gtholes=1" in xen_cmdline else None
    build = DEFAULT if not case.get("xen_build_options", "").startswith("Debian") else BUILDS["debian"]
    host = XenOptions(build=build, iommu=forced, fdt_address=int(fdt, 16) if fdt else None, grant_table=table)
    return Given(release, None, host)


def verified(folder: Path, change: Callable[[str], str] = lambda text: text) -> Verified:
    """Return what ``verify`` says of one case."""
    case = json.loads((folder / "case.json").read_text())
    path = folder / "xen-cmdline"
    cmdline = path.read_text() if path.is_file() else ""
    return verify(gathered(items(folder, case, change)), given(case, cmdline))


def main(arguments: list[str]) -> int:
    """Print what does not agree; leave with 1 when anything does not."""
    state = arguments[arguments.index("--noise") + 1] if "--noise" in arguments else "as it is"
    noise = NOISE[state]
    roots = [Path(item) for item in arguments if Path(item).is_dir()]
    counts: Counter[str] = Counter()
    for folder in (path for root in roots for path in sorted(root.iterdir())):
        try:
            found = verified(folder, noise)
        except DtanalyzeError as error:
            counts["refused"] += 1
            sys.stdout.write(f"{folder.name}: refused: {error}\n")
            continue
        counts["cases"] += 1
        counts["agree whole"] += not found.differences and not found.wrong_pairing
        counts["of a changed Xen"] += changed(folder)
        if found.wrong_pairing:
            sys.stdout.write(f"{folder.name}: PAIRING {found.wrong_pairing}\n")
        for item in found.comparisons:
            counts[f"{item.what.partition(' /')[0]}: {item.agrees}"] += 1
            if item.agrees is False:
                text = f"{folder.name}: {item.what}: {item.predicted} | {item.seen} | {item.cause}\n"
                sys.stdout.write(text if len(text) < 400 else text[:400] + "…\n")
    for key, value in sorted(counts.items()):
        sys.stdout.write(f"{value:6} {key}\n")
    if "--record" in arguments:
        record = Path(arguments[arguments.index("--record") + 1])
        known = json.loads(record.read_text()) if record.exists() else {}
        record.write_text(json.dumps({**known, state: dict(sorted(counts.items()))}, indent=1) + "\n")
    return 0


def changed(folder: Path) -> bool:
    """Tell whether this Xen was made to write other regions than it found."""
    path = folder / "xen-cmdline"
    return path.is_file() and any(word in path.read_text() for word in CHANGED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""``python -m tests.wide.fixes BOARDS [RECORD] > docs/fixes.md``: what `fix` makes of a folder of real boards.

Each board's own tree, with two gigabytes where it lists no RAM. A board that stops has to get an offer or a reason, and no offer
may add an error: what a tree that did not boot has hidden is counted apart. RECORD keeps a line for each board, so that a run
that ends early goes on where it was. Leaves with status 1 when a board has neither offer nor reason, gets an error, or crashes.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dtanalyze.analysis import CheckOptions, HostQuestion
from dtanalyze.analysis.fix import fix
from dtanalyze.facts import CheckResult, Fix
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.profile import PRESETS as LINUX
from dtanalyze.rules.registry import ALL_RULES
from dtanalyze.xen.profile import PRESETS as XEN

RELEASE = "4.22"
OPTIONS = CheckOptions(linux=LINUX["6.12"], assume_memory=True)
NAMES = {item.code: item.name for item in ALL_RULES}
_STAGE = re.compile(r"stops \((?P<stage>[\w-]+)\): (?P<line>[^;(]*)")


def main(folder: Path, record: Path | None) -> int:
    """Print the document."""
    known = {row["board"]: row for row in _rows(record)}
    rows = []
    for path in sorted(folder.rglob("*.dtb")):
        row = known.get(path.name) or _row(path)
        rows.append(row)
        if record is not None and path.name not in known:
            with record.open("a") as file:
                file.write(json.dumps(row) + "\n")
    sys.stdout.write("\n".join(_document(rows)) + "\n")
    bad = [
        row for row in rows if row.get("crash") or row["added"] or (row["stop"] and not row["offers"] and not row["reasons"])
    ]
    for row in bad:
        sys.stderr.write(f"{row['board']}: {row.get('crash') or row['added'] or 'neither offer nor reason'}\n")
    return 1 if bad else 0


def _rows(record: Path | None) -> Iterator[dict[str, Any]]:
    if record is not None and record.exists():
        yield from (json.loads(line) for line in record.read_text().splitlines())


def _row(path: Path) -> dict[str, Any]:
    question = HostQuestion(OPTIONS, (OPTIONS.linux,), (XEN[RELEASE],), (None,))
    try:
        return {"board": path.name, **_told(fix(path.read_bytes(), path.name, OPTIONS, question))}
    except Exception as error:  # noqa: BLE001  # a crash is what is looked for, whatever it is
        return {
            "board": path.name,
            "crash": repr(error),
            "stop": "",
            "offers": [],
            "reasons": [],
            "added": [],
            "after": "",
            "before": "",
        }


def _told(found: Fix) -> dict[str, Any]:
    before, after = found.before[0], found.after[0]
    stop = _STAGE.search(before.reason) if before.verdict == "no-boot" else None
    old = {(item.rule, item.node) for item in _errors(found.before)}
    new = sorted({(item.rule, item.node or "") for item in _errors(found.after) if (item.rule, item.node) not in old})
    return {
        "stop": stop["stage"] if stop else "",
        "line": re.sub(r"/\S+|\b0x[0-9a-f]+|\d{2,}", "…", stop["line"]).strip() if stop else "",
        "before": before.verdict.value,
        "after": after.verdict.value,
        "next": after.reason if after.verdict == "no-boot" else "",
        "offers": sorted({item.rule for offer in found.offers for item in offer.cured}),
        "changes": len(found.edits),
        "deleted": sum(bool(edit.unsaid) for edit in found.edits),
        "refused": [why for item in _errors(found.after) for cure, why in found.refused if cure in item.cures],
        "reasons": [item.advice for item in _errors(found.after) if item.advice],
        "added": [] if stop else [f"{rule} {node}" for rule, node in new],
        "came up": [rule for rule, _ in new if not rule.startswith("V-")] if stop else [],
    }


def _errors(results: tuple[CheckResult, ...]) -> list[Finding]:
    return [item for result in results for item in result.findings if item.severity is Severity.ERROR]


def _document(rows: list[dict[str, Any]]) -> Iterator[str]:
    stops = [row for row in rows if row["stop"]]
    controller = [row for row in stops if row["stop"] in ("interrupt-controller", "platform") and not row["offers"]]
    offered = [row for row in stops if row["offers"]]
    boots = [row for row in offered if row["after"] != "no-boot"]
    yield "# What `fix` makes of real boards"
    yield ""
    yield f"All {len(rows)} arm64 trees of Linux 6.12 as the kernel builds them, Xen {RELEASE}, 2 GiB where a tree lists no RAM"
    yield "(`--assume-memory auto`). Made by `python -m tests.wide.fixes`. The prediction is dtanalyze's own before and after; what"
    yield "was booted stands in [evidence.md](evidence.md)."
    yield ""
    yield f"* **{len(stops)}** boards stop. **{len(offered)}** of them get an offer, and with it Xen goes on to start dom0 on **{len(boots)}**."
    yield f"* {len(controller)} have an interrupt controller (or firmware) that Xen does not drive: no change of a tree cures that, and the report says so."
    rest = len(stops) - len(offered) - len(controller)
    neither = sum(not row["offers"] and not row["reasons"] for row in stops)
    yield f"* {rest} others get a reason only. {neither} get neither."
    yield f"* {sum(bool(row['added']) for row in rows)} boards that booted before have an error more with the changes made."
    removed = sum(row.get("deleted", 0) > 0 for row in offered)
    yield f"* {removed} of the offers change what no overlay can (they remove a property, say): `fix --apply` writes the tree."
    yield ""
    yield "## By stage"
    yield ""
    yield "| stage | Xen's line | stop | offer | boot then | cured by |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for (stage, line), count in Counter((row["stop"], row["line"]) for row in stops).most_common():
        these = [row for row in stops if (row["stop"], row["line"]) == (stage, line)]
        cures = Counter(rule for row in these for rule in row["offers"] if not rule.startswith("V-"))
        named = ", ".join(
            f"{rule} {NAMES.get(rule, '')} ({number})".replace("  ", " ") for rule, number in cures.most_common(4)
        )
        with_offer = sum(bool(row["offers"]) for row in these)
        then = sum(bool(row["offers"]) and row["after"] != "no-boot" for row in these)
        yield f"| {stage} | {line} | {count} | {with_offer} | {then} | {named} |"
    yield ""
    yield "## Why not"
    yield ""
    for reason, number in Counter(row["reasons"][0] for row in stops if not row["offers"] and row["reasons"]).most_common():
        yield f"* {number}: {reason}"
    again = [found["stage"] for row in offered if (found := _STAGE.search(row["next"]))]
    still = Counter(again)
    if still:
        yield ""
        yield (
            "Stages that stop a board still once its offers are taken: "
            + ", ".join(f"{name} ({count})" for name, count in still.most_common())
            + "."
        )
    verdicts = Counter(row["after"] for row in boots)
    yield ""
    yield (
        "What Linux does on the boards that boot then: "
        + ", ".join(f"{name} {count}" for name, count in verdicts.most_common())
        + "."
    )


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))

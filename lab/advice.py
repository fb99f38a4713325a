"""The text of advice, followed by hand as ``advice.toml`` has it: booted before and after, and the finding gone or not."""

from __future__ import annotations

import json
import struct
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from dtanalyze.analysis import check
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.facts import CheckResult
from dtanalyze.xen.profile import PRESETS
from lab.case import case_of
from lab.faulty import Faulty, of_case
from lab.offers import STARTED, booted, known
from lab.releases import XenBuild

__all__ = ["Advice", "advice_table", "followed", "read_advice"]

_XEN: Final = "4.20"


class Advice(NamedTuple):
    """One piece: the rule that gives it, and the machine before and after somebody did as it says."""

    name: str
    rule: str
    before: Faulty
    after: Faulty


def read_advice(path: Path) -> Iterator[Advice]:
    """Yield the pieces of a TOML file."""
    for item in tomllib.loads(path.read_text(encoding="utf-8"))["advice"]:
        name = item["name"]
        yield Advice(name, item["rule"], *(_faulty(name, dict(item[when])) for when in ("before", "after")))


def _faulty(name: str, table: dict[str, Any]) -> Faulty:
    room = table.pop("pad", 0)
    made = of_case(case_of({"xen": _XEN, **table, "name": name}))
    return made._replace(blob=_padded(made.blob, room))


def _padded(blob: bytes, room: int) -> bytes:
    """Return the tree with room behind it that its header counts, as ``dtc -p`` makes it."""
    return blob[:4] + struct.pack(">I", len(blob) + room) + blob[8:] + bytes(room)


def followed(item: Advice, xen: XenBuild, folder: Path) -> dict[str, Any]:
    """Return the record of one piece: what was said, and what the machine did before and after."""
    folder.mkdir(parents=True, exist_ok=True)
    before, after = _answer(item.before), _answer(item.after)
    said = next((found.advice for found in before.findings if found.rule == item.rule), "")
    record: dict[str, Any] = {
        "name": item.name,
        "rule": item.rule,
        "xen": xen.package.version,
        "advice": said,
        "before": booted(item.before, item.before.blob, xen, folder / "before"),
        "after": booted(item.after, item.after.blob, xen, folder / "after"),
        "predicted": [before.verdict.value, after.verdict.value],
        "gone": bool(said) and all(found.rule != item.rule for found in after.findings),
    }
    as_predicted = all(
        (record[when] == STARTED) == (answer.verdict.value != "no-boot")
        for when, answer in (("before", before), ("after", after))
    )
    ran = not record["before"].startswith("not started")
    record["kept"] = ran and as_predicted and record["gone"] and record["after"] == STARTED
    (folder / "advice.json").write_text(json.dumps(record, indent=1) + "\n")
    return record


def _answer(faulty: Faulty) -> CheckResult:
    options = CheckOptions()
    question = HostQuestion(options, (options.linux,), (PRESETS[faulty.xen],), (None,), known(faulty))
    return check(faulty.blob, faulty.name, options, question)[0]


def advice_table(records: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of the page."""
    kept = sum(item["kept"] for item in records)
    yield f"{len(records)} pieces of advice followed, {kept} with the finding gone and the boot as predicted."
    yield from ("", "| | rule | advice | before | after |", "| --- | --- | --- | --- | --- |")
    for item in records:
        mark = "" if item["kept"] else " **not as predicted**"
        cells = (f"`{item['name']}`", item["rule"], item["advice"], item["before"], item["after"] + mark)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

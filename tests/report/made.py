"""Reports of recorded trees, and of a result whose words hold everything that a format has to escape."""

from __future__ import annotations

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.errors import InputFailure
from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report.whole import Report
from tests.conftest import FIXTURES

BOOTS = FIXTURES / "dtb" / "boots"
CONFLICT, HAZARD, GOOD = "11e-is-ram", "09a-noiommu-rogue-in-ram", "01-dom0-x420-l612"
BALLOON, NATIVE = "11d-overlap", "07d-domU-not-enhanced"
BROKEN = InputFailure("trees/broken.dtb", "the file ends in the header (at byte offset 0x1c)", 0x1C)


def result(name: str, need: int | None = None) -> CheckResult:
    """What Linux 6.12 does with a recorded guest tree, with the verdict's own findings only: formats are tried here."""
    tree = "domu" if "domU" in name else "dom0"
    options = CheckOptions(linux=PRESETS["6.12"], tree=tree, need=need)
    (only,) = check((BOOTS / f"{name}.dtb").read_bytes(), f"trees/{name}.dtb", options)
    return only._replace(findings=tuple(item for item in only.findings if item.rule.startswith("V-")))


def report(*names: str, failures: tuple[InputFailure, ...] = (), need: int | None = None) -> Report:
    return Report(tuple((result(name, need),) for name in names), failures, "1.2.3")


def saying(message: str, path: str = "a.dtb", severity: Severity = Severity.ERROR, node: str | None = None) -> Report:
    """A report of one finding with these words."""
    finding = Finding("X01", "odd-words", severity, message, "", node)
    return Report(((result(GOOD)._replace(path=path, reason=message, findings=(finding,)),),), (), "1.2.3")

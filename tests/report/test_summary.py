"""The summary over many trees and the table of a sweep: what is shown, in which order, and how much is left out."""

from __future__ import annotations

import pytest

from dtanalyze.facts import CheckResult
from dtanalyze.findings import Finding, Severity
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report import rendered
from dtanalyze.report.summary import summary_text
from dtanalyze.report.sweep import sweep_text
from tests.report.made import BALLOON, BROKEN, CONFLICT, GOOD, HAZARD, report, result


def test_the_worst_verdict_comes_first_and_then_the_most_errors() -> None:
    lines = summary_text(report(GOOD, BALLOON, HAZARD, CONFLICT, failures=(BROKEN,))).splitlines()
    assert lines[0] == "Summary: 4 trees, 1 unreadable: 1 conflict, 1 hazard, 1 balloon, 1 scratch"
    assert lines[1] == "  All with findings: dom0, Linux 6.12, Xen 4.20"
    assert [line.split()[4] for line in lines[2:]] == ["conflict", "hazard", "balloon"], "what is clean is not named"
    assert lines[4] == "    0 errors   1 warning   balloon    trees/11d-overlap.dtb"


def test_the_summary_fits_the_width_and_tells_cells_apart() -> None:
    deep = result(CONFLICT)._replace(path="out/boards/linux-rockchip/arm64/rk3399-gru-scarlet-kingdisplay.dtb")
    other = deep._replace(linux=PRESETS["6.1"])
    made = summary_text(report(GOOD)._replace(groups=((deep,), (other,))))
    assert max(map(len, made.splitlines())) <= 80
    flat = " ".join(made.split())
    assert "".join(made.split()).count(deep.path) == 2, "paths are broken, not cut"
    assert "(dom0, Linux 6.12, Xen" in flat and "(dom0, Linux 6.1, Xen" in flat


@pytest.mark.parametrize(
    ("trees", "last"), [(20, None), (21, "  and 1 more with findings"), (25, "  and 5 more with findings")]
)
def test_twenty_boards_are_named(trees: int, last: str | None) -> None:
    lines = summary_text(report(*[CONFLICT] * trees)).splitlines()
    assert len(lines) == 2 + 20 + (last is not None)
    assert last is None or lines[-1] == last


def test_the_summary_comes_with_more_than_one_input() -> None:
    assert "Summary: 1 tree, 1 unreadable: 1 scratch" in rendered("text", report(GOOD, failures=(BROKEN,)))
    assert "Summary" not in rendered("text", report(GOOD))


def lines_of(cells: list[CheckResult]) -> list[str]:
    return sweep_text(cells).rstrip().splitlines()


@pytest.mark.parametrize(
    ("reasons", "last"),
    [(6, "      With Linux 5."), (7, "  … and 1 more reason (--format json)"), (9, "  … and 3 more reasons (--format json)")],
)
def test_six_reasons_are_given_under_a_sweep(reasons: int, last: str) -> None:
    one = result(BALLOON)._replace(tree="host", xen=None, cause=None, findings=())
    cells = [one._replace(reason=str(number), linux=PRESETS["6.12"]._replace(name=str(number))) for number in range(reasons)]
    assert lines_of(cells)[-1] == last


def test_the_worst_comes_first_and_then_the_most_frequent() -> None:
    one = result(BALLOON)._replace(tree="host", xen="4.20", reason="rare", cause=None, findings=())
    good = result(GOOD)._replace(tree="host", xen="4.20", reason="fine")
    cells = [one, *(one._replace(reason="often", linux=PRESETS["6.12"]._replace(name=name)) for name in "ab")]
    cells += [good._replace(linux=PRESETS["6.12"]._replace(name=name)) for name in "cdef"]
    assert [line.strip() for line in lines_of(cells) if " x " in line] == [
        "2 x balloon: Often.",
        "1 x balloon: Rare.",
        "4 x scratch: 9 sections, clear of everything.",
    ]


def test_one_stop_under_every_release_is_told_once_with_what_to_do() -> None:
    """Xen's release stands in the reason, and the cause is the same."""
    cause = Finding("B07", "c", Severity.ERROR, "no", "Add it.", "/gic")
    one = result(GOOD)._replace(tree="host", verdict=Verdict.NO_BOOT, findings=(cause,), cause=cause)
    cells = [one._replace(xen=xen, reason=f"Xen {xen} stops (gic): no") for xen in ("4.19", "4.20")]
    assert lines_of(cells)[-3:] == [
        "  None of them gives scratch pages.",
        "  2 x no-boot: Xen stops (gic): no.",
        "      Do: Add it.",
    ]


def test_a_table_that_is_too_wide_joins_kernels_that_come_out_alike_and_goes_on_below() -> None:
    one = result(GOOD)._replace(tree="host", xen="4.20", reason="same")
    names = ["v2", "5.16", "5.17", "6.1", "6.12"]
    cells = [one._replace(linux=PRESETS["6.12"]._replace(name=name)) for name in names]
    cells[1] = cells[1]._replace(verdict=Verdict.BALLOON)
    wide = sweep_text(cells, width=200).splitlines()
    assert wide[1].split("  ")[-1] == "Linux 6.12" and wide[1].count("Linux") == 5
    joined = sweep_text(cells, width=64).splitlines()
    assert joined[1].split() == ["Linux", "v2", "Linux", "5.16", "Linux", "5.17", "to", "6.12"]
    narrow = sweep_text(cells, width=30).splitlines()
    assert max(map(len, narrow)) <= 30
    narrow = narrow[: narrow.index("")]
    assert [line.strip() for line in narrow if "Linux" in line] == ["Linux v2", "Linux 5.16", "Linux 5.17 to 6.12"]

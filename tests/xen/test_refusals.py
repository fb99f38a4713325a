"""The account of every place where Xen says no: what it claims is held against the stages, the triggers and the sources."""

from __future__ import annotations

import json
import re
import runpy
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import main
from dtanalyze.report.refusals import refusals_markdown
from dtanalyze.xen.known_options import words_of
from dtanalyze.xen.refusals import COMPARED, Refusal, Standing, refusals
from dtanalyze.xen.start_xen import STAGES
from dtanalyze.xen.unmodelled import TRIGGERS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = runpy.run_path(str(ROOT / "docs" / "refusals_of.py"))
MIRRORS = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "dtanalyze" / "xen").glob("*.py")))
ROWS = refusals()
_ENOUGH = 16
"""Letters that tell one line from another; further on a mirror may put a name in."""
NOT_A_REFUSAL = {"hardware-domain"}
"""Triggers for what differs without being refused."""


def known(standing: Standing) -> set[str]:
    return {row.where for row in ROWS if row.standing is standing}


def test_every_stage_named_is_a_stage_and_every_trigger_a_trigger() -> None:
    assert known(Standing.MIRRORED) <= {stage.name for stage in STAGES}
    assert known(Standing.OPEN) | NOT_A_REFUSAL == {item.name for item in TRIGGERS}


def test_every_stage_that_can_refuse_stands_in_the_account() -> None:
    quiet = {"dom0-grant-table"}  # the refusal of domain_create, in a stage of its own
    assert {stage.name for stage in STAGES} - quiet == known(Standing.MIRRORED)


@pytest.mark.parametrize("row", [row for row in ROWS if row.standing is Standing.MIRRORED], ids=lambda row: row.says[:40])
def test_what_is_mirrored_says_xens_words(row: Refusal) -> None:
    """The longest piece of the line that holds for any node begins in a mirror as it does upstream."""
    if row.says.startswith("BUG") or row.says == "returns an error":
        return
    pieces = re.split(r"%#?[\d.]*l*[a-zA-Z]*|\\n|\{|\}", row.says.replace('\\"', '"'))
    longest = max(pieces, key=len).strip()
    assert longest[:_ENOUGH] in MIRRORS.replace('\\"', '"'), longest


def test_rows_are_whole_and_single() -> None:
    assert all(row.where and row.says and row.functions and row.files and row.releases for row in ROWS)
    assert all(set(row.releases) <= set(COMPARED) for row in ROWS)
    seen = [(row.says, name, file) for row in ROWS if row.says != "returns an error" for name in row.functions for file in row.files]
    panics = [item for item in seen if item[1] != "*" and not item[0].startswith("BUG")]
    assert len(panics) == len(set(panics)), "one judgement a place"


def test_words_that_announce_are_announced() -> None:
    for item in TRIGGERS:
        for word in item.words:
            assert words_of(word)[0].standing == "not modelled", (item.name, word)


def test_the_page_is_what_the_tool_says_today() -> None:
    assert (ROOT / "docs" / "refusals.md").read_text(encoding="utf-8") == refusals_markdown(ROWS), "make docs writes it anew"


def printed(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as left:
        main([*argv])
    assert left.value.code == 0
    return capsys.readouterr().out


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = " ".join(printed(capsys, "rules", "--refusals").split())  # lines are as long as the terminal is wide
    assert "mirrored by a stage (" in text and " boot-scan: module %s command line too long [" in text
    assert printed(capsys, "rules", "--refusals", "--format", "markdown") == refusals_markdown(ROWS)
    found = json.loads(printed(capsys, "rules", "--refusals", "--format", "json"))
    assert {"mirrored", "open", "hardware", "unreachable"} == {row["standing"] for row in found["refusals"]}
    assert found["compared"]["4.22"] == "RELEASE-4.22.0"


SOURCE = r'''
static int helper(void)
{
    /* panic("not this one") */
    if ( x )
        return -EINVAL;
    BUG_ON(a  ==
           b);
    return 0;
}

void __init start(const char *s)
{
#define oops() panic("nor this")
    panic("cannot \"%s\" at %#"PRIpaddr" (%d)\n",
          s, (a), b);
    BUG();
}
'''


def test_the_check_reads_c() -> None:
    found = [(item.function, item.says) for item in SCRIPT["places"]("xen/a.c", SOURCE)]
    assert found == [
        ("helper", "returns an error"),
        ("helper", "BUG_ON(a == b)"),
        ("start", 'cannot \\"%s\\" at %# (%d)'),
        ("start", "BUG()"),
    ]


def test_the_check_lists_what_is_lacking(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def git(*argv: str) -> None:
        name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(["git", "-C", str(tmp_path), *name, *argv], check=True, capture_output=True)

    git("init", "-q")
    path = tmp_path / "xen/arch/arm/kernel.c"
    path.parent.mkdir(parents=True)
    known = "\nvoid f(void)\n{\n" + '    panic("Unable to find suitable location for the kernel\\n");\n'
    path.write_text(known + '    panic("New words\\n");\n}\n')
    git("add", "-A")
    git("commit", "-q", "-m", "a")
    assert SCRIPT["main"]([str(tmp_path), "HEAD"]) == 1
    assert capsys.readouterr().out == (
        "HEAD: xen/arch/arm/kernel.c: f: New words\nHEAD: 1 refusals are not in the account\n"
    )
    path.write_text(known + "}\n")
    git("commit", "-q", "-am", "b")
    assert SCRIPT["main"]([str(tmp_path), "HEAD"]) == 0
    assert SCRIPT["main"]([str(tmp_path), "v9"]) == 2


def test_covers() -> None:
    row: Any = next(row for row in ROWS if row.says == "module %s command line too long")
    assert row.covers("bootinfo.c", "elsewhere", row.says), "a panic is known by its words"
    assert not row.covers("other.c", "add_boot_cmdline", row.says)
    assert not row.covers("bootinfo.c", "add_boot_cmdline", "module %s")
    whole = next(row for row in ROWS if row.functions == ("*",) and row.says == "BUG, BUG_ON")
    assert whole.covers(whole.files[0], "any", "BUG_ON(x)") and not whole.covers(whole.files[0], "any", "returns an error")

"""GitHub annotations, GitLab Code Quality and the Markdown comment."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from markdown_it import MarkdownIt

from dtanalyze.errors import InputFailure
from dtanalyze.findings import Severity
from dtanalyze.report import rendered
from dtanalyze.report.whole import Report
from tests.report.made import BALLOON, BROKEN, CONFLICT, GOOD, HAZARD, NATIVE, report, result, saying


def github(asked: Report) -> list[str]:
    return rendered("github", asked).splitlines()


def test_github_conflict() -> None:
    (line,) = github(report(CONFLICT))
    head, _, message = line.removeprefix("::").partition("::")
    assert head == "error file=trees/11e-is-ram.dtb,title=V-conflict scratch-range-refused"
    assert message.startswith("Linux refuses its first section, 0x60000000-0x67ffffff, because of System RAM")
    assert "(dom0, Linux 6.12, Xen 4.20).%0AEnd the extended region" in message


def test_github_commands_by_severity_and_unreadable_inputs() -> None:
    lines = github(report(BALLOON, GOOD, NATIVE, failures=(BROKEN,)))
    assert [line.split(" ")[0] for line in lines] == ["::warning", "::notice", "::error"]
    assert lines[2] == (
        "::error file=trees/broken.dtb,title=unreadable input::the file ends in the header (at byte offset 0x1c)"
    )


def test_github_says_nothing_when_there_is_nothing() -> None:
    assert rendered("github", report(GOOD)) == ""


def test_github_escapes() -> None:
    (line,) = github(saying("100%\r\n::error::a,b\x1b[31m", "a:b,c%\n.dtb", Severity.WARNING))
    assert line == (
        "::warning file=a%3Ab%2Cc%25%0A.dtb,title=X01 odd-words"
        "::100%25\\r\\n::error::a,b\\x1b[31m (dom0, Linux 6.12, Xen 4.20)."
    )


def gitlab(asked: Report) -> list[dict[str, Any]]:
    answer = json.loads(rendered("gitlab", asked))
    assert isinstance(answer, list)
    return answer


def test_gitlab_conflict() -> None:
    asked = Report(((result(CONFLICT)._replace(path="./11e-is-ram.dtb"),),), (), "1.2.3")
    (item,) = gitlab(asked)
    assert item.pop("description").startswith(
        "Linux refuses its first section, 0x60000000-0x67ffffff, because of System RAM"
    )
    assert item == {
        "check_name": "V-conflict",
        # printf '11e-is-ram.dtb\0V-conflict\0/memory@60000000\0dom0' | sha256sum
        "fingerprint": "9496d5c00804003bcb99f41f0936c826743e4bdee49f86218bea9f2013f6ba62",
        "severity": "critical",
        "location": {"path": "11e-is-ram.dtb", "lines": {"begin": 1}},
    }


def test_gitlab_severities_and_unreadable_inputs() -> None:
    gone = InputFailure("gone.dtb", "No such file or directory", None)
    items = gitlab(report(BALLOON, GOOD, NATIVE, HAZARD, failures=(BROKEN, gone)))
    assert [(item["check_name"], item["severity"], item["location"]["path"]) for item in items] == [
        ("V-balloon", "minor", "trees/11d-overlap.dtb"),
        ("V-native", "info", "trees/07d-domU-not-enhanced.dtb"),
        ("V-hazard", "critical", "trees/09a-noiommu-rogue-in-ram.dtb"),
        ("unreadable-input", "blocker", "trees/broken.dtb"),
        ("unreadable-input", "blocker", "gone.dtb"),
    ]
    assert len({item["fingerprint"] for item in items}) == 5


def test_gitlab_nothing_is_an_empty_array() -> None:
    assert rendered("gitlab", report(GOOD)) == "[]\n"


def test_markdown() -> None:
    lines = rendered("markdown", report(GOOD, CONFLICT, failures=(BROKEN,))).splitlines()
    assert lines[:8] == [
        "### dtanalyze",
        "",
        "2 results, 1 error, 1 unreadable input.",
        "",
        "| path | domain | kernel | Xen | verdict | reason |",
        "| --- | --- | --- | --- | --- | --- |",
        "| <code>trees/01-dom0-x420-l612.dtb</code> | <code>dom0</code> | Linux 6.12 | 4.20 | **scratch** "
        "| 9 sections (1152 MiB) from 0x48000000 on, clear of everything |",
        "| <code>trees/11e-is-ram.dtb</code> | <code>dom0</code> | Linux 6.12 | 4.20 | **conflict** | Linux refuses its first "
        "section, 0x60000000-0x67ffffff, because of System RAM (/memory@60000000) \\[0x60000000-0x7fffffff\\]; every "
        "later mapping fails at the same place |",
    ]
    assert lines[8] == (
        "| <code>trees/broken.dtb</code> |  |  |  | **unreadable** | the file ends in the header (at byte offset 0x1c) |"
    )
    assert lines[9:13] == ["", "<details>", "<summary>1 finding</summary>", ""]
    assert lines[13] == "- **error** V-conflict scratch-range-refused at <code>/memory@60000000</code>"
    assert lines[-2:] == ["", "</details>"]


def test_markdown_folds_nothing_when_there_is_nothing() -> None:
    text = rendered("markdown", report(GOOD))
    assert "1 result.\n" in text
    assert "details" not in text


def test_markdown_counts_by_severity() -> None:
    assert "4 results, 2 errors, 1 warning, 1 info.\n" in rendered("markdown", report(CONFLICT, HAZARD, BALLOON, NATIVE))


def test_markdown_says_what_a_cell_of_a_sweep_is() -> None:
    asked = Report(((result(GOOD)._replace(iommu=True),),), (), "1.2.3", sweep=True)
    assert "| Linux 6.12 | 4.20, IOMMU on |" in rendered("markdown", asked)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("a|b", "a&#124;b"),
        ("</details><script>", "&lt;/details&gt;&lt;script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("`*_[x](y)~#a\\", "\\`\\*\\_\\[x\\](y)\\~\\#a\\\\"),
        ("two\nlines", "two\\\\nlines"),
        ("\x1b", "\\\\x1b"),
    ],
)
def test_markdown_escapes(words: str, shown: str) -> None:
    text = rendered("markdown", saying(words, f"{words}.dtb"))
    assert f"| <code>{shown}.dtb</code> | <code>dom0</code> | Linux 6.12 | 4.20 | **scratch** | {shown} |\n" in text
    assert f"  in <code>{shown}.dtb</code> (dom0, Linux 6.12, Xen 4.20): {shown}.\n" in text


@pytest.mark.parametrize("words", ["/@torvalds", "see #1", "!2", "GH-3", "https://evil.example/", "www.evil.example", "|@all", "x@y@org/team"])
def test_a_comment_calls_nobody_and_links_nowhere(words: str) -> None:
    """Forges look for names, issues and addresses in the text that Markdown comes to, but in no code; addresses in code, too."""
    text = rendered("markdown", saying(words, f"{words.replace('/', '-')}.dtb"))
    html = MarkdownIt("commonmark").enable("table").render(text)
    assert "evil" in html or "torvalds" in html or words[-1] in html
    outside = re.sub(r"<code>.*?</code>|<[^>]*>", "\0", html)
    assert not re.search(r"(?<!\w)@\w|[#!]\d|GH-\d|://|www\.", outside), outside
    assert not re.search(r"://|www\.", re.sub(r"<code>(://|www\.)</code>", "", text))


def test_a_limit_keeps_the_worst_annotations_and_counts_the_rest() -> None:
    whole = rendered("github", report(HAZARD, BALLOON, NATIVE)).splitlines()
    kinds = [line.split(" ")[0] for line in whole]
    assert kinds == sorted(kinds, key=["::error", "::warning", "::notice"].index) and len(set(kinds)) > 1
    some = rendered("github", report(HAZARD, BALLOON, NATIVE)._replace(annotate_limit=1)).splitlines()
    assert some[0] == whole[0]
    assert some[1] == f"::notice title=dtanalyze::{len(whole) - 1} less severe findings are not annotated (--annotate-limit); the other reports have them."
    for many in (100, 10**30):
        assert rendered("github", report(HAZARD)._replace(annotate_limit=many)) == rendered("github", report(HAZARD))

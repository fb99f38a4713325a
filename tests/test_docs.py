"""docs/formats: what each format says of one tree with three kinds of faults, read as its consumer reads it.

The pages are those that ``docs/make_formats.py`` makes from a real run, byte for byte; so what holds for them holds for the tool.
"""

from __future__ import annotations

import csv
import io
import json
import re
import runpy
import shutil
import subprocess
import tomllib
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import fastjsonschema
import pytest
from markdown_it import MarkdownIt

from dtanalyze.cli import main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TREE = "fixtures/dtb/boots/16b-zcu102-61dtb-x420.dtb"
HAZARD = ("X02",)  # the extended region over the window of the PCI bridge
SEEDED = {*HAZARD, "O02", "O03"}  # the overlay's three faults; the rest is the recorded tree's own


def committed(name: str) -> str:
    return (DOCS / "formats" / name).read_text(encoding="utf-8")


@cache
def pages() -> dict[str, str]:
    made: dict[str, str] = runpy.run_path(str(DOCS / "make_formats.py"))["pages"]()
    return made


def test_the_pages_are_what_the_tool_says_today() -> None:
    stale = [name for name, text in pages().items() if (DOCS / name).read_text(encoding="utf-8") != text]
    assert stale == [], "make docs writes them anew"


def test_every_committed_page_is_made() -> None:
    sources = {"three-faults.dtso", "three-faults.dtbo"}
    assert {path.name for path in (DOCS / "formats").iterdir()} - sources == {
        Path(name).name for name in pages() if name.startswith("formats/")
    }


@pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed (Debian: device-tree-compiler)")
def test_the_overlay_is_its_source() -> None:
    source = DOCS / "formats" / "three-faults.dtso"
    made = subprocess.run(["dtc", "-@", "-q", "-O", "dtb", str(source)], capture_output=True, check=True).stdout
    assert made == source.with_suffix(".dtbo").read_bytes()


def test_the_picture_in_the_readme_is_a_png() -> None:
    picture = (DOCS / "map.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
    assert f"]({RAW}docs/map.png)" in (ROOT / "README.md").read_text(encoding="utf-8")


HOME, RAW = "https://github.com/dtanalyze/dtanalyze/blob/main/", "https://raw.githubusercontent.com/dtanalyze/dtanalyze/main/"


def test_the_readme_works_where_the_repository_is_not() -> None:
    """PyPI shows it alone: every link and picture is absolute, and leads to a file that is here."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    assert len(targets) > 10 and all(target.startswith((HOME, RAW)) for target in targets), targets
    assert [item for item in targets if not (ROOT / item.removeprefix(HOME).removeprefix(RAW).partition("#")[0]).is_file()] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    urls = project["urls"]
    assert set(urls) == {"Homepage", "Documentation", "Changelog", "Issues"} and all(url.startswith(HOME.partition("/blob")[0]) for url in urls.values())
    assert all((ROOT / url.removeprefix(HOME)).is_file() for url in urls.values() if url.startswith(HOME))


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/formats.md"])
def test_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    targets = re.findall(r"\]\(([^)#\s]+)", path.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert local
    assert [target for target in local if not (path.parent / target).exists()] == []


COMMANDS = [
    (page, line)
    for page in ("README.md", "docs/formats.md", "CONTRIBUTING.md")
    for line in re.findall(
        r"(?:^|[|`$;] ?)(dtanalyze [a-z][^`|;>#\n]*)", (ROOT / page).read_text(encoding="utf-8").replace("\\\n", ""), re.M
    )
]


@pytest.mark.parametrize(("page", "line"), COMMANDS)
def test_every_command_in_the_documents_exists_with_its_options(
    page: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name, *words = line.split()[1:]
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    said = capsys.readouterr().out
    assert left.value.code == 0, line
    options = [word.partition("=")[0] for word in words if re.fullmatch(r"--?[a-z].*", word)]
    assert [option for option in options if not re.search(rf"(^|[ ,/]){option}\b", said, re.M)] == []


def test_there_are_commands_in_the_documents() -> None:
    assert len(COMMANDS) > 20


# ---- json: the contract, key by key ----

TEXT, NUMBER, FLAG = (str,), (int,), (bool,)
ADDRESS = re.compile(r"0x(0|[1-9a-f][0-9a-f]*)")


def a_range(value: Any) -> None:
    start, stop = value
    assert ADDRESS.fullmatch(start)
    assert ADDRESS.fullmatch(stop)
    assert int(start, 16) <= int(stop, 16)


def a_resource(value: dict[str, Any]) -> None:
    assert set(value) >= {"name", "range", "source", "claim", "children"}
    assert value["claim"] in ("certain", "possible")
    assert value["source"] is None or value["source"].startswith("/")
    a_range(value["range"])
    for child in value["children"]:
        a_resource(child)


RESULT_KEYS = {
    "path": TEXT,
    "tree": TEXT,
    "domain": (str, type(None)),
    "linux": TEXT,
    "arch": TEXT,
    "xen": (str, type(None)),
    "iommu": (bool, type(None)),
    "assumed": (list,),
    "verdict": TEXT,
    "reason": TEXT,
    "kaslr": (bool, type(None)),
    "alternatives": (list,),
    "target": (str, type(None)),
    "grant_table": (list, type(None)),
    "extended_regions": (list,),
    "section_size": TEXT,
    "page_size": TEXT,
    "sections": NUMBER,
    "pages": NUMBER,
    "largest_request": NUMBER,
    "requests": (list,),
    "views": (dict,),
    "findings": (list,),
}
FINDING_KEYS = {
    "rule": TEXT,
    "name": TEXT,
    "severity": TEXT,
    "message": TEXT,
    "node": (str, type(None)),
    "ranges": (list,),
    "offset": (int, type(None)),
}
REQUEST_KEYS = {
    "pages": NUMBER,
    "outcome": TEXT,
    "taken": (list,),
    "error": (str, type(None)),
    "message": (str, type(None)),
}


def has(value: dict[str, Any], keys: dict[str, tuple[type, ...]]) -> None:
    """Require every documented key with its type; more keys may be there."""
    for key, types in keys.items():
        assert isinstance(value[key], types), key


def test_json_has_the_documented_form() -> None:
    answer = json.loads(committed("report.json"))
    assert (answer["schema_version"], answer["tool"]["name"], answer["errors"]) == (2, "dtanalyze", [])
    (result,) = answer["results"]
    has(result, RESULT_KEYS)
    for request in result["requests"]:
        has(request, REQUEST_KEYS)
        for taken in request["taken"]:
            a_range(taken)
    for region in [result["grant_table"], *result["extended_regions"]]:
        a_range(region)
    a_resource(result["views"]["xen_resource"])
    a_resource(result["views"]["iomem_resource"])
    blob = (DOCS / "formats" / "three-faults.dtbo").stat().st_size + (ROOT / TREE).stat().st_size
    for finding in result["findings"]:
        has(finding, FINDING_KEYS)
        assert finding["offset"] is None or 0 <= finding["offset"] < blob
        for found in finding["ranges"]:
            a_range(found)
    order = ["error", "warning", "info"]
    assert result["findings"] == sorted(
        result["findings"], key=lambda found: (order.index(found["severity"]), found["rule"], found["node"] or "")
    )


def test_json_names_the_three_faults() -> None:
    (result,) = json.loads(committed("report.json"))["results"]
    assert result["verdict"] == "hazard"
    # From the overlay: sections counted by hand, 2 + 7 + 1 + 15 of 128 MiB.
    assert (result["sections"], result["pages"], result["section_size"]) == (25, 25 * 32768, "0x8000000")
    found = {(each["rule"], each["node"]) for each in result["findings"]}
    assert found >= {
        ("X02", "/axi/pcie@fd0e0000"),
        ("O02", "/timer@ff0f0800"),
        ("O03", "/reserved-memory/framebuffer@30100000"),
    }
    # Nothing else but the tree's own: the regions that Xen 4.20 cut, and what that costs.
    assert {rule for rule, _ in found} - SEEDED == {"X12", "X17"}


# ---- the formats of CI systems ----


def findings() -> list[dict[str, Any]]:
    (result,) = json.loads(committed("report.json"))["results"]
    found: list[dict[str, Any]] = result["findings"]
    return found


def test_sarif_is_valid_by_the_published_schema() -> None:
    schema = json.loads((ROOT / "tests" / "report" / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8"))
    log = json.loads(committed("report.sarif"))
    fastjsonschema.compile(schema, use_default=False)(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [each["ruleId"] for each in run["results"]] == [each["rule"] for each in findings()]
    for each in run["results"]:
        assert rules[each["ruleIndex"]]["id"] == each["ruleId"]
        (place,) = each["locations"]
        assert place["physicalLocation"]["artifactLocation"]["uri"] == TREE  # the overlay is named in the message
        assert place["logicalLocations"][0]["fullyQualifiedName"].startswith("/")
        assert "three-faults.dtbo" in each["message"]["text"]
    prints = [each["partialFingerprints"]["ruleNodeDomain/v1"] for each in run["results"]]
    assert len(set(prints)) == len(prints)  # the three regions that Xen cut are told apart


def test_helpuris_lead_to_a_heading_of_the_rules_page() -> None:
    (run,) = json.loads(committed("report.sarif"))["runs"]
    page = (DOCS / "rules.md").read_text(encoding="utf-8")
    for rule in run["tool"]["driver"]["rules"]:
        anchor = rule["helpUri"].partition("#")[2]
        assert f'<a id="{anchor}"></a>' in page or re.search(rf"^#+ {anchor}\b", page, re.I | re.M), anchor


def test_junit_counts_are_its_cases() -> None:
    top = ElementTree.fromstring(committed("report.junit.xml").encode("utf-8"))
    (suite,) = top
    cases = suite.findall("testcase")
    failed = [case for case in cases if case.find("failure") is not None]
    assert suite.get("tests") == top.get("tests") == str(len(cases))
    assert suite.get("failures") == top.get("failures") == str(len(failed))
    assert {failure.get("type") for case in cases for failure in case.findall("failure")} == set(HAZARD)


def test_github_lines_are_workflow_commands() -> None:
    lines = committed("report.github.txt").splitlines()
    assert len(lines) == len(findings())
    level = {"error": "error", "warning": "warning", "info": "notice"}
    for line, found in zip(lines, findings(), strict=True):
        # What actions/runner takes: ::command key=value,key=value::message, with %, CR, LF, ',' and ':' escaped.
        shape = re.fullmatch(r"::(error|warning|notice) ([^:]+)::(.+)", line)
        assert shape, line
        command, properties, message = shape.groups()
        (pairs,) = csv.reader(io.StringIO(properties))
        given = dict(pair.split("=", 1) for pair in pairs)
        assert command == level[found["severity"]]
        assert given["file"] == TREE
        assert given["title"].split()[0] == found["rule"]
        assert found["message"].split(" [")[0] in message


def test_gitlab_has_what_code_quality_requires() -> None:
    items = json.loads(committed("report.gitlab.json"))
    assert [item["check_name"] for item in items] == [each["rule"] for each in findings()]
    for item in items:
        assert item["description"]
        assert item["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert not Path(item["location"]["path"]).is_absolute()
        assert (ROOT / item["location"]["path"]).is_file()
        assert item["location"]["lines"]["begin"] >= 1
    # GitLab shows one of those with the same fingerprint only.
    assert len({item["fingerprint"] for item in items}) == len(items)


def test_markdown_renders_as_a_table_and_a_fold() -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(committed("report.md"))
    assert html.count("<table>") == 1
    assert len(re.findall(r"<th>([^<]+)</th>", html)) == 6
    assert html.count("<tr>") == 2
    assert html.count("<details>") == html.count("</details>") == 1
    assert html.count("<li>") == len(findings())
    # Nothing of a tree's words was taken as markup: no emphasis, no link.
    assert "<em>" not in html
    assert "<a " not in html


# ---- the pictures ----


def test_svg_is_xml_with_a_name() -> None:
    top = ElementTree.fromstring(committed("map.svg"))
    space = "{http://www.w3.org/2000/svg}"
    assert top.tag == f"{space}svg"
    assert "hazard" in (top.get("aria-label") or "")
    assert "/axi/pcie@fd0e0000" in committed("map.svg")


class _Page(HTMLParser):
    """What a page loads from elsewhere, and whether its elements close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":  # a link loads nothing until somebody follows it
            self.loads += [value for key, value in attrs if key in ("src", "srcset", "href") and value and value[0] != "#"]
        if tag not in ("meta", "link", "br", "hr", "input", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [value for key, value in attrs if key in ("src", "srcset", "href") and value and value[0] != "#"]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else() -> None:
    page = _Page()
    page.feed(committed("map.html"))
    assert (page.open, page.loads) == ([], [])
    assert "url(" not in committed("map.html")

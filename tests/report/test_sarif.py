"""SARIF 2.1.0: the published schema, then the values, written by hand from the recorded trees."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.errors import InputFailure
from dtanalyze.linux.profile import PRESETS
from dtanalyze.report import rendered
from dtanalyze.report.whole import Report
from tests.conftest import FIXTURES
from tests.linux.build import guest
from tests.report.made import BALLOON, BOOTS, BROKEN, CONFLICT, GOOD, HAZARD, NATIVE, report, result, saying
from tests.trees import dtb


@cache
def schema() -> Any:
    text = (Path(__file__).parent / "sarif-2.1.0-rtm.5.json").read_text(encoding="utf-8")
    return fastjsonschema.compile(json.loads(text), use_default=False)


def run(asked: Report) -> dict[str, Any]:
    log = json.loads(rendered("sarif", asked))
    schema()(log)
    assert log["version"] == "2.1.0"
    (only,) = log["runs"]
    assert isinstance(only, dict)
    return only


def test_the_schema_is_one() -> None:
    with pytest.raises(fastjsonschema.JsonSchemaException):
        schema()({"version": "2.1.0", "runs": [{"results": []}]})


def test_a_conflict() -> None:
    (found,) = run(report(CONFLICT))["results"]
    assert (found["ruleId"], found["ruleIndex"], found["level"]) == ("V-conflict", 0, "error")
    assert found["message"]["text"].startswith(
        "Linux refuses its first section, 0x60000000-0x67ffffff, because of System RAM"
    )
    assert found["message"]["text"].endswith("(dom0, Linux 6.12, Xen 4.20).")
    assert found["locations"] == [
        {
            "physicalLocation": {"artifactLocation": {"uri": "trees/11e-is-ram.dtb"}, "region": {"startLine": 1}},
            "logicalLocations": [{"name": "memory@60000000", "fullyQualifiedName": "/memory@60000000"}],
        }
    ]
    assert found["properties"]["ranges"] == [["0x60000000", "0x68000000"], ["0x60000000", "0x80000000"]]
    # printf 'V-conflict\0/memory@60000000\0dom0' | sha256sum
    print_ = "eb2e6c855eed9ef3360ad4c366367759ead520a8e1dab77bea12f8717662ba8c"
    assert found["partialFingerprints"] == {"ruleNodeDomain/v1": print_, "primaryLocationLineHash": print_}


def test_a_hazard_has_the_offset_of_the_devices_registers() -> None:
    (found,) = run(report(HAZARD))["results"]
    region = found["locations"][0]["physicalLocation"]["region"]
    assert (region["startLine"], region["byteLength"]) == (1, 4)
    blob = (BOOTS / f"{HAZARD}.dtb").read_bytes()
    # /rogue@90000000 { reg = <0 0x90000000 0 0x1000>; }
    assert blob[region["byteOffset"] :].startswith(bytes.fromhex("00000000 90000000 00000000 00001000"))


def test_rules_are_those_that_occur() -> None:
    only = run(report(NATIVE, HAZARD, BALLOON, CONFLICT, HAZARD, GOOD))
    rules = only["tool"]["driver"]["rules"]
    assert [(rule["id"], rule["name"], rule["defaultConfiguration"]["level"]) for rule in rules] == [
        ("V-balloon", "mappings-cost-ram", "warning"),
        ("V-conflict", "scratch-range-refused", "error"),
        ("V-hazard", "scratch-on-unseen-user", "error"),
        ("V-native", "xen-not-detected", "note"),
    ]
    assert rules[1]["shortDescription"] == {"text": "Scratch range refused."}
    assert rules[1]["helpUri"].endswith("/docs/rules.md#v-conflict")
    assert [(item["ruleId"], item["ruleIndex"], item["level"]) for item in only["results"]] == [
        ("V-hazard", 2, "error"),
        ("V-conflict", 1, "error"),
        ("V-hazard", 2, "error"),
        ("V-balloon", 0, "warning"),
        ("V-native", 3, "note"),
    ], "the worst first, else in the order of the inputs"


def test_a_tree_that_works_is_there_without_results() -> None:
    only = run(report(GOOD))
    assert only["results"] == only["tool"]["driver"]["rules"] == []
    assert only["invocations"] == [{"executionSuccessful": True}]
    assert only["artifacts"] == [{"location": {"uri": "trees/01-dom0-x420-l612.dtb"}, "roles": ["analysisTarget"]}]


def test_an_unreadable_input_is_a_notification() -> None:
    only = run(report(GOOD, failures=(BROKEN, InputFailure("gone.dtb", "No such file or directory", None))))
    (invocation,) = only["invocations"]
    assert invocation["executionSuccessful"] is False
    first, second = invocation["toolExecutionNotifications"]
    assert first["message"]["text"] == "the file ends in the header (at byte offset 0x1c)"
    assert first["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "trees/broken.dtb"},
        "region": {"startLine": 1, "byteOffset": 28},
    }
    assert second["locations"][0]["physicalLocation"]["region"] == {"startLine": 1}
    known = only["tool"]["driver"]["notifications"]
    assert known[first["descriptor"]["index"]]["id"] == first["descriptor"]["id"] == "unreadable-input"


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("a b#1.dtb", "a%20b%231.dtb"),
        ("./x/../a.dtb", "x/../a.dtb"),
        (".//a.dtb", "a.dtb"),
        ("c:a.dtb", "c%3Aa.dtb"),
        ("50%.dtb", "50%25.dtb"),
        ("ä.dtb", "%C3%A4.dtb"),
        ("\udcff.dtb", "%FF.dtb"),  # a byte that is no UTF-8, as Python hands it over
        ("<stdin>", "%3Cstdin%3E"),
        ("/repo/boards/a.dtb", "boards/a.dtb"),
        ("/repository/a.dtb", "file:///repository/a.dtb"),
    ],
)
def test_paths_are_relative_references(path: str, uri: str) -> None:
    only = run(saying("words", path)._replace(root="/repo"))
    assert only["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"] == {"uri": uri}
    assert only["artifacts"][0]["location"] == {"uri": uri}


def test_the_root_folder_may_be_the_file_systems() -> None:
    asked = saying("words", "/a.dtb")._replace(root="/")
    assert run(asked)["artifacts"][0]["location"] == {"uri": "a.dtb"}


def test_the_root_node_has_a_name() -> None:
    (found,) = run(saying("words", node="/"))["results"]
    assert found["locations"][0]["logicalLocations"] == [{"name": "/", "fullyQualifiedName": "/"}]


def fingerprints(asked: Report) -> list[str]:
    return [item["partialFingerprints"]["ruleNodeDomain/v1"] for item in run(asked)["results"]]


def test_shifted_addresses_keep_the_fingerprint() -> None:
    def seen(shift: int) -> tuple[list[str], str]:
        start = 0x100000000 + shift
        device = f"dev {{ reg = <{start >> 32:#x} {start & 0xFFFFFFFF:#x} 0 0x1000>; }};"
        blob = dtb(guest([(start, 0x10000000)], device))
        report = Report((check(blob, "a.dtb", CheckOptions(linux=PRESETS["6.12"])),), (), "")
        return fingerprints(report), run(report)["results"][0]["message"]["text"]

    (before, said_before), (after, said_after) = seen(0), seen(0x40000000)
    assert before == after
    assert "0x100000000-" in said_before and "0x140000000-" in said_after


def test_rule_node_and_domain_make_the_fingerprint() -> None:
    one = result(HAZARD)
    (finding,) = one.findings
    others = [
        one,
        one._replace(domain="/chosen/domU1"),
        one._replace(findings=(finding._replace(node="/other"),)),
        one._replace(findings=(finding._replace(rule="X01"),)),
    ]
    assert len({fingerprints(Report(((item,),), (), ""))[0] for item in others}) == 4
    moved = one._replace(path="elsewhere.dtb", findings=(finding._replace(message="else", ranges=(), offset=None),))
    assert fingerprints(Report(((one,), (moved,)), (), "")) == fingerprints(report(HAZARD)) * 2


def test_cells_of_a_sweep_and_twins_are_told_apart() -> None:
    one = result(HAZARD)
    newer = one._replace(linux=PRESETS["7.3"])
    swept = fingerprints(Report(((one, newer),), (), "", sweep=True))
    assert len(set(swept)) == 2
    (finding,) = one.findings
    twins = fingerprints(Report(((one._replace(findings=(finding, finding)),),), (), ""))
    assert len(set(twins)) == 2
    assert twins[0] == fingerprints(report(HAZARD))[0]


def test_every_recorded_tree_gives_a_valid_log() -> None:
    names = sorted(path.stem for path in (FIXTURES / "dtb" / "boots").glob("*.dtb"))
    assert run(report(*names, need=1 << 40))["results"]


def test_a_message_holds_no_link_of_a_strangers_making() -> None:
    """SARIF 3.11.6: ``[text](address)`` in plain text is a link for whoever shows it."""
    (found,) = run(saying("/[click](https://evil.example) (reg[0])", "x.dtb"))["results"]
    assert found["message"]["text"].startswith("/[click]\\x28https://evil.example) (reg[0])")

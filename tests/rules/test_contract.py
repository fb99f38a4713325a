"""Every rule states itself wholly, fires on its own bad tree, and no good tree of any rule makes anything fire."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import main
from dtanalyze.report.dts import dts_text
from dtanalyze.rules.model import GUEST, HOST, TREE, Example, Rule
from dtanalyze.rules.registry import ALL_RULES, NOT_SHOWN
from dtanalyze.verdicts import STATEMENTS
from tests.conftest import FIXTURES
from tests.trees import dtb

ROOT = FIXTURES.parent

IDS = [item.code for item in ALL_RULES]
HAZARDS = [f"X{number:02}" for number in range(1, 48)] + [f"D{number:02}" for number in range(1, 14)]


def found(example: Example, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """Return what ``check`` finds in an example, with the options that it names."""
    path = folder / "example.dtb"
    path.write_bytes(dtb(example.dts))
    asks = ["--linux", example.linux, "--xen", example.xen, *example.asks]
    if example.partial:
        (folder / "partial.dtb").write_bytes(dtb(example.partial))
        asks += ["--partial-dtb", f"guest={folder / 'partial.dtb'}"]
    if example.config:
        (folder / "guest.cfg").write_text(example.config)
        asks += ["--xl-config", str(folder / "guest.cfg")]
    with pytest.raises(SystemExit) as left:
        main(["check", str(path), "--format", "json", "--fail-on", "never", *asks])
    printed = capsys.readouterr()
    assert not left.value.code, printed.err
    answer = json.loads(printed.out)
    assert answer["errors"] == []
    return [item for result in answer["results"] for item in result["findings"]]


@pytest.mark.parametrize("rule", ALL_RULES, ids=IDS)
def test_a_rule_fires_on_its_bad_tree(rule: Rule, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hits = [item for item in found(rule.bad, tmp_path, capsys) if item["rule"] == rule.code]
    assert hits
    assert {(item["rule"], item["name"]) for item in hits} == {(rule.code, rule.name)}
    assert max(item["severity"] for item in hits) == rule.severity.label, "the worst is what the rule promises"


@pytest.mark.parametrize("rule", ALL_RULES, ids=IDS)
def test_nothing_fires_on_a_good_tree(rule: Rule, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hits = [(item["rule"], item["message"]) for item in found(rule.good, tmp_path, capsys)]
    assert hits == []


@pytest.mark.parametrize("rule", ALL_RULES, ids=IDS)
def test_a_rule_states_itself_wholly(rule: Rule) -> None:
    assert re.fullmatch(r"[A-Z]\d\d", rule.code)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)+", rule.name)
    assert rule.on in (TREE, GUEST, HOST)
    for text in (rule.what, rule.why, rule.advice):
        assert text.endswith(".") and "  " not in text
        assert len(text) > 12
    assert rule.sources
    for source in rule.sources:
        assert source.project in ("Linux", "Xen") and source.symbol and source.version
        assert re.fullmatch(r"[\w./-]+\.[ch]", source.path), source.path
    assert rule.bad != rule.good


RELEASE_ONLY = {"K01": "the fault is the kernel's: no tree shows it"}


@pytest.mark.parametrize("rule", ALL_RULES, ids=IDS)
def test_the_good_tree_differs_by_the_fault(rule: Rule) -> None:
    """A rule that fires everywhere must fire on its good tree: same kernel, same Xen, and the options differ if nothing else."""
    if rule.code in RELEASE_ONLY:
        return
    bad, good = rule.bad, rule.good
    assert (bad.linux, bad.xen) == (good.linux, good.xen)
    differs = [getattr(bad, name) != getattr(good, name) for name in ("dts", "partial", "config", "asks")]
    assert sum(differs) == 1, "one thing differs, the one that the rule is about"


def test_every_hazard_has_a_rule_or_a_reason() -> None:
    known = {item.code for item in ALL_RULES} | {item.code for item in NOT_SHOWN}
    assert [code for code in HAZARDS if code not in known] == []
    assert all(item.what and item.reason for item in NOT_SHOWN)


def test_codes_and_names_are_unique() -> None:
    assert len(set(IDS)) == len(ALL_RULES) == len({item.name for item in ALL_RULES})


def test_the_document_is_not_stale(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rules", "--format", "markdown"])
    assert (ROOT / "docs" / "rules.md").read_text() == capsys.readouterr().out, "make docs"


def test_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["rules", "--format", "json"])
    answer = json.loads(capsys.readouterr().out)
    codes = [item["code"] for item in answer["rules"]]
    assert codes == [item.code for item in STATEMENTS] + IDS
    assert answer["rules"][-1]["page"].endswith("docs/rules.md#x48")
    assert {item["code"] for item in answer["not_shown"]} == {item.code for item in NOT_SHOWN}
    with pytest.raises(SystemExit):
        main(["rules"])
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert rows == ["code", *codes]


@pytest.mark.parametrize("asked", [item.code for item in ALL_RULES] + ["V-need", "A01", "regions-not-ascending", "x08"])
def test_every_rule_explains_itself(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["explain", asked])
    text = capsys.readouterr().out
    assert not left.value.code and len(text.splitlines()) > 2


def test_what_is_no_rule_is_not_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for asked, words in (("X99", "the nearest is X"), ("zzzzzzz", "dtanalyze rules lists them")):
        with pytest.raises(SystemExit) as left:
            main(["explain", asked])
        assert left.value.code == 2 and words in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("dtc") is None, reason="dtc is not installed: whether it reads the examples is not shown")
@pytest.mark.parametrize("rule", ALL_RULES, ids=IDS)
def test_dtc_reads_the_examples_as_printed(rule: Rule) -> None:
    for example in (rule.bad, rule.good):
        ran = subprocess.run(
            ["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", "/dev/null", "-"],
            input=dts_text(example.dts).encode(),
            capture_output=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr.decode()

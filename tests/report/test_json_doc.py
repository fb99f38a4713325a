"""docs/json.md names every key that an answer has, and no key that none has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import main
from dtanalyze.rules.registry import ALL_RULES
from tests.conftest import FIXTURES
from tests.trees import dtb

PAGE = (FIXTURES.parent / "docs" / "json.md").read_text(encoding="utf-8")
FREE = ("views.xen_resource", "views.iomem_resource", "findings[].source", "reuse[]", "check")
"""What is described in words, or elsewhere: their inner keys are not listed one by one."""
SAME = ("reserved", "devices")
"""What has the form of the host's memory."""
SELDOM = {
    "results", "errors.source", "host", "reuse", "alternatives.kaslr", "alternatives.verdict", "alternatives.sections",
    "alternatives.dom0_memory", "alternatives.when",
    "alternatives.stopped_by", "findings.source", "findings.change.node", "findings.change.property", "findings.change.dts",
    "modules.kind", "modules.range", "modules.node", "modules.users",
}  # fmt: skip
"""Keys that these answers need not have."""


def documented(heading: str) -> set[str]:
    """Return the paths of the table below a heading; ``.key`` goes on from the path before it."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    found = set()
    for row in re.findall(r"^\| (`.*?) \| ", section, re.M):
        base = ""
        for name in re.findall(r"`([^`]+)`", row):
            path = base + name if name.startswith(".") else name
            base = path.rpartition(".")[0] if not name.startswith(".") else base
            found.add(path)
    return found


def keys(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every key, ``[]`` for the items of a list of objects or ranges that the page lists as such."""
    if path in FREE:
        yield path
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from keys(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for item in value:
            yield from keys(item, f"{path}[]")
    else:
        yield path


def answers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Yield answers that between them have every key: overlaps, a stop, a refused mapping, unsettled KASLR and RAM."""
    bad = tmp_path / "bad.dtb"
    (rule,) = [item for item in ALL_RULES if item.code == "X39"]
    bad.write_bytes(dtb(rule.bad.dts))
    boots, hosts = FIXTURES / "dtb" / "boots", FIXTURES / "dtb" / "hosts"
    calls = (
        ["check", str(boots / "11d-overlap.dtb"), "--request", "5", "--without-reserve"],
        ["check", str(boots / "01-dom0-x420-l612.dtb"), "--request", "5"],
        ["check", str(bad), "--xen", "4.18"],
        ["check", str(hosts / "01-dom0-x420-l612.dtb")],
        ["check", *map(str, sorted(hosts.glob("*.dtb"))[:12]), "/no/such.dtb"],
        ["predict", str(bad), str(hosts / "01-dom0-x420-l612.dtb")],
    )
    for call in calls:
        with pytest.raises(SystemExit):
            main([*call, "--format", "json"])
        yield json.loads(capsys.readouterr().out)


def test_every_key_is_documented(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    seen: dict[str, set[str]] = {"The answer": set(), "One result of `check`": set(), "The machine, `host`": set()}
    seen["One result of `predict`"] = set()
    for answer in answers(capsys, tmp_path):
        for result in answer.pop("results"):
            which = "One result of `predict`" if "method" in result else "One result of `check`"
            machine = result.pop("host", None)
            seen["The machine, `host`"].update(keys(machine or {}))
            seen[which].update(keys(result))
        seen["The answer"].update(keys(answer))
    for heading, found in seen.items():
        told = {path.replace("[]", "") for path in documented(heading)}
        told |= {path.replace("memory", other) for other in SAME for path in told} if "machine" in heading else set()
        # What was empty or null shows as its own path.
        empty = {path.rpartition(".")[0] for path in told} | {*SAME, "alternatives"}
        there = {path.replace("[]", "") for path in found}
        assert there - told - empty == set(), heading
        assert told - there - {path.rpartition(".")[0] for path in there} - SELDOM == set(), heading

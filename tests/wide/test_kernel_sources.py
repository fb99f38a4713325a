"""Sources of an unpacked kernel tree: how many are read, and whether findings stand at the lines that dtc says by another way.

``LINUX=/path/to/linux make oracle``. The lines come from ``dtc --annotate`` in its short form, whose output is read here by its
indentation; the program reads the long form by its braces.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dtanalyze.cli import main

LINUX = Path(os.environ.get("LINUX", "/nonexistent"))
SOURCES = sorted((LINUX / "arch/arm64/boot/dts").rglob("*.dts"))
SAMPLE = SOURCES if os.environ.get("LINUX_ALL") else SOURCES[::16]
PREFIXES = LINUX / "scripts/dtc/include-prefixes"
MEMORY = ("--memory", "0x40000000+2G")

pytestmark = pytest.mark.skipif(
    not SOURCES or shutil.which("dtc") is None or shutil.which("cpp") is None,
    reason="LINUX names no kernel tree, or dtc and cpp are missing: kernel sources are NOT read",
)


def answer(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, list[dict[str, object]]]:
    with pytest.raises(SystemExit):
        main(["check", *argv, *MEMORY, "--format", "json"])
    found: dict[str, list[dict[str, object]]] = json.loads(capsys.readouterr().out)
    return found


def test_nearly_all_sources_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    errors = answer(capsys, *map(str, SAMPLE))["errors"]
    assert len(errors) <= len(SAMPLE) // 20, errors


def annotated(source: Path) -> dict[tuple[str, str], set[tuple[str, int]]]:
    """Return file name and line of each place of each node (name "") and property."""
    folders = [source.parent, PREFIXES, LINUX / "include"]
    cpp = ["cpp", "-nostdinc", "-undef", "-x", "assembler-with-cpp", *(f"-I{item}" for item in folders), str(source)]
    text = subprocess.run(cpp, capture_output=True, check=True).stdout
    dtc = ["dtc", "-q", "-@", "--annotate", "-O", "dts", *(word for item in folders for word in ("-i", str(item))), "-"]
    found: dict[tuple[str, str], set[tuple[str, int]]] = {}
    path = [""] * 64
    for line in subprocess.run(dtc, input=text, capture_output=True, check=True).stdout.decode("utf-8", "replace").splitlines():
        match = re.fullmatch(r"(\t*)(?:[\w]+: )*([^\s;=]+)(.*?) /\* (.*) \*/", line)
        if match is None or match[2] == "};":
            continue
        depth, opens = len(match[1]), match[3].rstrip().endswith("{")
        if opens:
            path[depth] = "" if depth == 0 else match[2]
        node = "/".join(path[: depth + 1 if opens else depth]) or "/"
        for file, number in re.findall(r"([^:, ]+):(\d+)", match[4]):
            found.setdefault((node, "" if opens else match[2]), set()).add((os.path.basename(file), int(number)))
    return found


def boards(capsys: pytest.CaptureFixture[str]) -> list[tuple[Path, list[dict[str, object]]]]:
    """Return ten boards of different vendors with findings that have a line."""
    found: list[tuple[Path, list[dict[str, object]]]] = []
    vendors = {source.parent: source for source in SOURCES[::-1]}
    for source in vendors.values():
        findings = [
            item
            for result in answer(capsys, str(source))["results"]
            for item in result["findings"]  # type: ignore[attr-defined]
            if "source" in item
        ]
        if findings:
            found.append((source, findings))
        if len(found) == 10:
            break
    return found


def test_findings_of_ten_boards_stand_where_dtc_says(capsys: pytest.CaptureFixture[str]) -> None:
    chosen, looked = boards(capsys), 0
    assert len(chosen) == 10
    for source, findings in chosen:
        places = annotated(source)
        for item in findings:
            said = item["source"]
            assert isinstance(said, dict)
            here = (os.path.basename(said["file"]), said["line"])
            wanted = {place for (node, _), held in places.items() if node == item["node"] for place in held}
            above = str(item["node"])
            while not wanted and above:  # what only Xen's tree has stands at the nearest node above
                above = above.rpartition("/")[0]
                wanted = {place for (node, _), held in places.items() if node == (above or "/") for place in held}
            assert here in wanted, (source.name, item["rule"], item["node"], here)
            looked += 1
    assert looked >= 10

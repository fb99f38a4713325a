"""A defect anywhere costs one input: each of many inputs meets another function that raises, all in one batch.

``python -m tests.fuzz.injected`` goes through every function that the commands reach, one at a time.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from dtanalyze.analysis import guest, host
from dtanalyze.board import build
from dtanalyze.causes import folded
from dtanalyze.devicetree import blob
from dtanalyze.inputs.files import Given, trees_in
from dtanalyze.linux import boot, capacity, enlighten, iomem, memblock, memory_hotplug, unpopulated_alloc
from dtanalyze.report import github, junit, markdown, naming, text
from dtanalyze.report import json as json_format
from dtanalyze.rules.registry import ALL_RULES
from dtanalyze.xen.start_xen import STAGES
from tests.fuzz.injected import TREES, Raising, run

pytestmark = pytest.mark.skipif(
    sys.version_info[:3] == (3, 13, 0), reason="CPython 3.13.0 crashes where a trace function reads a frame's names"
)

READING = (Given.read, trees_in, blob.parse, build.build_board)
LINUX = (
    enlighten.arch_xen_unpopulated_init, iomem.build_iomem, memblock.memblock, memory_hotplug.mhp_get_pluggable_range,
    unpopulated_alloc.UnpopulatedAlloc.fill_list, capacity.capacity, boot.boot, guest.check_guest, folded,
)  # fmt: skip
"""Each step on the way from a tree to Linux's answer."""
RULES = tuple(item.check for item in ALL_RULES)
XEN = (host.predict_host, *(stage.run for stage in STAGES))
FORMATS = {
    "text": (text.group_text, text._headline),
    "concise": (naming._placed,),
    "json": (json_format.check_result, json_format.finding_json),
    "sarif": (naming._placed,),
    "junit": (junit._suite, junit._case),
    "github": (github._at, naming.cell_in_file),
    "gitlab": (naming.cell,),
    "markdown": (markdown._finding, naming._placed),
}


def batch(folder: Path, kind: str, functions: tuple[Any, ...], *options: str) -> tuple[set[str], tuple[int, str, str]]:
    """Check a good tree and one for each function, which raises for it; return the names for which one did, and what was said."""
    data = TREES[kind].read_bytes()
    codes: dict[str, CodeType] = {f"{number:03}.dtb": item.__code__ for number, item in enumerate(functions)}
    for name in ("good.dtb", *codes):
        (folder / name).write_bytes(data)
    raising = Raising(codes)
    with raising.throughout():
        said = run(["check", *(str(folder / name) for name in ("good.dtb", *codes)), *options])
    return raising.done, said


@pytest.mark.parametrize(
    ("kind", "functions", "fewest"),
    [("guest", READING + LINUX, 12), ("guest", RULES[::8], 3), ("host", XEN, 20)],
    ids=["reading and Linux", "rules", "Xen"],
)
def test_a_defect_in_a_step_costs_one_input(kind: str, functions: tuple[Any, ...], fewest: int, tmp_path: Path) -> None:
    raised, (status, out, err) = batch(tmp_path, kind, functions, "--format", "json")
    answer = json.loads(out)
    failed = {Path(item["path"]).name: item["message"] for item in answer["errors"]}
    assert status == 2 and set(failed) == raised and len(raised) >= fewest, "the others reach none of their functions"
    assert all(message.startswith("internal error: ZeroDivisionError at ") for message in failed.values())
    assert len(err.splitlines()) == len(failed)
    whole = [Path(item["path"]).name for item in answer["results"]]
    assert "good.dtb" in whole and not raised & set(whole)
    assert len({re.sub(r"(\d+|good)\.dtb", "", json.dumps(item)) for item in answer["results"]}) == 1


@pytest.mark.parametrize(("form", "functions"), FORMATS.items(), ids=FORMATS)
def test_a_defect_in_a_format_costs_one_input(form: str, functions: tuple[Any, ...], tmp_path: Path) -> None:
    raised, (status, out, err) = batch(tmp_path, "guest", functions, "--format", form)
    assert status == 2 and raised == {f"{number:03}.dtb" for number in range(len(functions))}
    assert len(err.splitlines()) == len(functions) == err.count("internal error: ZeroDivisionError at ")
    assert "good.dtb" in out
    if form != "text":  # which tells failures on standard error only
        assert out.count("internal error: ZeroDivisionError at ") >= len(functions)

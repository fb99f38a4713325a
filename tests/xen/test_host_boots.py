"""A board's own tree and command lines alone: what stops Xen, dom0's RAM, the regions, the tree written, Linux's requests.

Each case is a boot of real Xen (``fixtures/host-boots``, README there); nothing of the answer is given to the program.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import FIXTURES
from tests.xen.host_boots import Case, compare

CASES = sorted(path.parent for path in (FIXTURES / "host-boots").glob("*/case.json"))


def test_there_are_enough_of_every_outcome() -> None:
    outcomes = [json.loads((folder / "case.json").read_text())["outcome"] for folder in CASES]
    assert len(outcomes) >= 60
    assert outcomes.count("no-boot") >= 20 and outcomes.count("xen-only") >= 20 and outcomes.count("scratch") >= 5


@pytest.mark.parametrize("folder", CASES, ids=[folder.name for folder in CASES])
def test_a_recorded_boot(folder: Path, tmp_path: Path) -> None:
    case = Case(folder, json.loads((folder / "case.json").read_text()))
    found = list(compare(case, tmp_path))
    assert found, "every case is compared with something"
    assert [(kind, difference) for kind, difference in found if difference is not None] == []

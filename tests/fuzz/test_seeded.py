"""Some seconds of fuzzing with every run of the tests; ``make fuzz`` goes on from here."""

from __future__ import annotations

import random
import shutil

import pytest

from tests.fuzz.chain import answered
from tests.fuzz.given import TARGETS, defect, tried
from tests.fuzz.mutants import SEEDS, mutants

MUTANTS = 30
FILES = 3


@pytest.mark.parametrize("seed", range(5))
def test_no_tree_brings_out_a_defect(seed: int) -> None:
    chance = random.Random(seed)
    trees = sum(answered(blob, chance) for _, blob in mutants(seed, MUTANTS))
    assert trees > MUTANTS * 0.9, "a mutant that no reader takes tries nothing else"


def test_the_same_seed_gives_the_same_mutants() -> None:
    assert list(mutants(1, 5)) == list(mutants(1, 5)) != list(mutants(2, 5))
    assert len(SEEDS) > 40


@pytest.mark.parametrize("name", TARGETS)
def test_no_file_brings_out_a_defect(name: str) -> None:
    """Some of every kind of file; ``python -m tests.fuzz.given`` goes on from here."""
    if name.startswith("source") and shutil.which("dtc") is None:
        pytest.skip("dtc is not installed (Debian: device-tree-compiler)")
    wrong = [(" ".join(call), said) for _, call, said, _ in tried(name, 1, FILES) if said is not None]
    assert wrong == []


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ((3, "", "dtanalyze: x\n"), "status 3"),
        ((2, "", ""), "status 2"),
        ((2, "", "dtanalyze: internal error: KeyError: x\n"), "internal error"),
        ((2, "", "dtanalyze: a\x1b[31m\n"), "standard error"),
        ((0, "a\n::error::x\n", ""), "of the file's own making"),
        ((0, "{", ""), "json: "),
    ],
)
def test_a_defect_is_seen(found: tuple[int, str, str], said: str) -> None:
    assert said in str(defect(["check", "a", "--format", "json"], found, 0.0))
    assert defect(["check", "a", "--format", "json"], (0, "{}", ""), 0.0) is None
    assert "slow" in str(defect(["check", "a"], (0, "", ""), 60.0))

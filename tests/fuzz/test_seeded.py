"""Some seconds of fuzzing with every run of the tests; ``make fuzz`` goes on from here."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.chain import answered
from tests.fuzz.mutants import SEEDS, mutants

MUTANTS = 40


@pytest.mark.parametrize("seed", range(5))
def test_no_tree_brings_out_a_defect(seed: int) -> None:
    chance = random.Random(seed)
    trees = sum(answered(blob, chance) for _, blob in mutants(seed, MUTANTS))
    assert trees > MUTANTS * 0.9, "a mutant that no reader takes tries nothing else"


def test_the_same_seed_gives_the_same_mutants() -> None:
    assert list(mutants(1, 5)) == list(mutants(1, 5)) != list(mutants(2, 5))
    assert len(SEEDS) > 40

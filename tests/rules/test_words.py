"""How rules speak: sentences that a person reads once, advice that begins with what to do, one word for one thing."""

from __future__ import annotations

import re

import pytest

from dtanalyze.rules.model import Rule, Statement
from dtanalyze.rules.registry import ALL_RULES
from dtanalyze.verdicts import STATEMENTS

MOST_WORDS = 30
HEDGES = re.compile(r"\b(may|might|could|possibly|perhaps|should)\b")
DO = re.compile(
    "Add|Believe|Boot|Build|Change|Choose|Correct|Cut|End|Enlarge|Extend|Give|Join|Leave|Load|Lower|Make|Map|Mark|Move|Name|Number"
    "|Pass|Remove|Rename|Repeat|Set|Sort|Start|Use|Write"
)
"""The words that an instruction begins with."""
OTHER_WORDS = {"host's tree": "host tree", "guest's tree": "guest tree", "device-tree": "device tree", "hypervisor's tree": ""}
QUOTED = re.compile(r'"[^"]*"|`[^`]*`|\([^)]*\)')
TEXTS: tuple[Rule | Statement, ...] = (*ALL_RULES, *STATEMENTS)
IDS = [item.code for item in TEXTS]


def sentences(text: str) -> list[str]:
    """Return the sentences, without what is quoted or bracketed: nobody reads that as words."""
    return re.split(r"(?<=[.:;]) ", QUOTED.sub("x", text))


def told(item: Rule | Statement) -> list[str]:
    return [item.what, item.advice, *([item.why] if isinstance(item, Rule) else [])]


@pytest.mark.parametrize("item", TEXTS, ids=IDS)
def test_no_sentence_is_longer_than_a_breath(item: Rule | Statement) -> None:
    long = [one for text in told(item) for one in sentences(text) if len(one.split()) > MOST_WORDS]
    assert long == []


@pytest.mark.parametrize("item", TEXTS, ids=IDS)
def test_advice_begins_with_what_to_do(item: Rule | Statement) -> None:
    first = item.advice.split(" ")[0]
    assert DO.fullmatch(first) or item.code == "V-native"  # without Xen there is nothing to do


@pytest.mark.parametrize("item", TEXTS, ids=IDS)
def test_nothing_is_hedged_by_grammar(item: Rule | Statement) -> None:
    assert [text for text in told(item) if HEDGES.search(QUOTED.sub("x", text))] == []


@pytest.mark.parametrize("item", TEXTS, ids=IDS)
def test_one_word_for_one_thing(item: Rule | Statement) -> None:
    assert [other for text in told(item) for other in OTHER_WORDS if other in text] == []

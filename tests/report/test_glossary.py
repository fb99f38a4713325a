"""The glossary: every term leads to terms that exist, and the document is what the tool says."""

from __future__ import annotations

import re

import pytest

from dtanalyze.cli import main
from dtanalyze.errors import UsageError
from dtanalyze.linux.boot import Verdict
from dtanalyze.report.glossary import TERMS, glossary_markdown, named
from tests.conftest import FIXTURES


def test_terms_lead_to_terms() -> None:
    names = {item.name for item in TERMS.values()}
    assert {name for item in TERMS.values() for name in item.see} <= names
    assert list(TERMS) == sorted(TERMS), "in the order of the alphabet"


@pytest.mark.parametrize(
    "word", ["section", "linear map", "extended region", "grant table", "claim", "host tree", "guest tree"]
)
def test_the_words_of_reports_are_explained(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    main_exit = pytest.raises(SystemExit)
    with main_exit as left:
        main(["explain", word.upper()])
    assert not left.value.code
    assert capsys.readouterr().out.startswith(f"{word}\n  ")


def test_the_document_is_not_stale() -> None:
    assert (FIXTURES.parent / "docs" / "glossary.md").read_text(encoding="utf-8") == glossary_markdown(), "make docs"


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("sectoin", "no rule and no term is called 'sectoin'; the nearest is 'section'"),
        ("linear maps", "no rule and no term is called 'linear maps'; the nearest is 'linear map'"),
        ("X99", "no rule is called 'X99'; the nearest is X"),
        ("zzzz", "no rule is called 'zzzz'; dtanalyze rules lists them"),
    ],
)
def test_a_word_that_names_nothing_gets_the_nearest(word: str, said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)):
        named(word)


def test_a_term_is_found_by_its_first_word_where_it_is_the_only_one() -> None:
    assert named("scratch") is TERMS["scratch pages"] and named("PCI") is TERMS["pci window"]


def test_blanks_in_a_term_may_be_any() -> None:
    assert named("  Linear   Map ") is TERMS["linear map"]


def test_every_verdict_is_explained() -> None:
    assert {item.value for item in Verdict} - TERMS.keys() == {"scratch"}  # scratch pages
    assert "scratch pages" in TERMS

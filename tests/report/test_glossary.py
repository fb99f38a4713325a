"""The glossary: every term leads to terms that exist, and the document is what the tool says."""

from __future__ import annotations

import pytest

from dtanalyze.cli import main
from dtanalyze.report.glossary import TERMS, glossary_markdown
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

"""Text of others' making: what terminals and CI runners would act upon, and what is left of it."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dtanalyze.report.foreign import document, visible
from dtanalyze.report.style import TERMINAL


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("board.dtb", "board.dtb"),
        ("größe.dtb", "größe.dtb"),
        ("a\n::error::x", "a\\n::error::x"),
        ("::error::x", ":\\x3aerror::x"),
        ("  ::warning file=x::y", "  :\\x3awarning file=x::y"),
        ("see ::error::x", "see :\\x3aerror::x"),
        ("ip=192.168.0.1::192.168.0.254:255.255.255.0::eth0", "ip=192.168.0.1::192.168.0.254:255.255.255.0::eth0"),
        ("x ##[error]y", "x #\\x23[error]y"),
        ("##vso[task.setvariable]", "#\\x23vso[task.setvariable]"),
        ("\x1b]0;PWN\x07", "\\x1b]0;PWN\\x07"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("a\u2028b", "a\\u2028b"),
        ("a\x85b\x9bc", "a\\x85b\\x9bc"),
        ("\udcff.dtb", "\\xff.dtb"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_always_one_printable_line_that_is_no_command(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable() and len(shown.splitlines()) <= 1
    assert not shown.lstrip().startswith("::") and "##" not in shown
    shown.encode("utf-8")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp", "Zs"], exclude_characters="#:")))
def test_what_is_harmless_stays(text: str) -> None:
    assert visible(text) == text


def test_a_report_keeps_its_own_colours_only() -> None:
    coloured = TERMINAL.bold("::error::") + "\x1b[31m"
    assert document([coloured, "a\nb"]) == "\x1b[1m:\\x3aerror::\x1b[0m\\x1b[31m\na\\nb\n"


HOSTILE = ("a\n::error::x", "\x1b]0;PWN\x07", "\u202e", "  ::error::x", "##[error]x", "\udc80")


@given(st.lists(st.sampled_from(HOSTILE) | st.text()))
def test_as_many_lines_as_were_written(lines: list[str]) -> None:
    assert len(document(lines).split("\n")) == len(lines) + 1
    assert not re.search(r"(?m)^\s*::|##", document(lines))
    json.dumps(document(lines)).encode("ascii")

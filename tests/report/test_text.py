"""The report for people: one entry for one cause, folded to what a person reads, never wider than it may be."""

from __future__ import annotations

import subprocess

import pytest

from dtanalyze.facts import Assumption
from dtanalyze.findings import Change, Cure, Finding, Severity
from dtanalyze.report.lines import command_lines, fitted, sentence, wrapped
from dtanalyze.report.text import check_text
from tests.linux.build import answer, guest, reg
from tests.report.made import GOOD, result


def actions(*found: Finding, verbose: bool = False, width: int = 80) -> list[str]:
    text = check_text(result(GOOD)._replace(findings=found), verbose=verbose, width=width)
    return text.partition("\nWhat to do\n")[2].partition("\n\n")[0].splitlines()


def at(node: str, message: str, advice: str = "Do this.", severity: Severity = Severity.ERROR, rule: str = "X01") -> Finding:
    return Finding(rule, "odd", severity, message, advice, node)


WHY = "  Why, with sources: dtanalyze explain X01"


def test_one_finding() -> None:
    assert actions(at("/a", "/a is wrong")) == ["  E1 error X01 odd", "     /a is wrong.", "     Do: Do this.", WHY]


def test_the_same_at_several_places_is_said_once() -> None:
    assert actions(at("/a", "/a is wrong"), at("/b", "wrong as well")) == [
        "  E1 error X01 odd, 2 places",
        "     /a is wrong.",
        "     /b: wrong as well.",
        "     Do: Do this.",
        WHY,
    ]


def test_many_places_are_counted_unless_asked_for() -> None:
    found = [at("/a", f"range {number} is wrong") for number in range(5)]
    assert actions(*found) == [
        "  E1 error X01 odd, 5 places",
        "     Range 0 is wrong.",
        "     Range 1 is wrong.",
        "     … and 3 more (--verbose)",
        "     Do: Do this.",
        WHY,
    ]
    assert sum("is wrong" in line for line in actions(*found, verbose=True)) == 5


def test_other_advice_keeps_them_apart() -> None:
    lines = actions(at("/a", "/a one"), at("/a", "/a two", "Do that."))
    assert [line for line in lines if "odd" in line] == ["  E1 error X01 odd", "  E2 error X01 odd"]


def test_notes_are_counted_beside_something_worse() -> None:
    found = (at("/a", "/a one"), at("/b", "/b two", "", Severity.INFO, "X02"))
    assert "  1 more: 1 note (X02); --verbose tells them" in actions(*found)
    assert any("/b two" in line for line in actions(*found, verbose=True))
    assert any("/b two" in line for line in actions(found[1])), "alone it is told"


def test_what_the_reason_said_is_not_said_again() -> None:
    reason = result(GOOD).reason
    nothing = ["  E1 error X01 odd", "     Do: Do this.", WHY]
    assert actions(at("/a", reason)) == nothing
    assert actions(at("/a", reason.partition(", ")[2])) == nothing, "a part of it"
    assert actions(at("/a", f"/a is wrong; Xen says: {reason}")) == [nothing[0], "     /a is wrong.", *nothing[1:]]
    assert actions(at("/a", "/a is wrong; Xen says: no"))[1] == "     /a is wrong; Xen says: no."


def test_what_stands_in_two_runs_of_sections_is_one_user() -> None:
    """A device over all of the address space: both regions' sections are laid over it, and it is told once."""
    everywhere = f'dev@0 {{ compatible = "v,d"; {reg([(0xb000000, (1 << 64) - 0xb000000)])} }};'
    text = check_text(answer(guest([(0x80000000, 0x8000000), (0x90000000, 0x8000000)], everywhere)), verbose=True)
    assert text.count("! in use") == 1
    assert "(16 EiB)" in text and "more user" not in text


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("a.dtb", b"", "  The change as an overlay: dtanalyze fix a.dtb > fix.dtso"),
        ("a.dtb", None, "  The tree with the change: dtanalyze fix a.dtb --apply fixed.dtb"),  # no overlay can say it
        ("a.dts", b"", "  The change in the source: dtanalyze fix a.dts --diff"),
    ],
)
def test_the_command_is_one_that_makes_the_change(path: str, value: bytes | None, said: str) -> None:
    cure = Cure((Change("/a", "reg", value, "<0x0>"),))
    made = result(GOOD)._replace(path=path, findings=(at("/a", "/a one").with_cures((cure,)),))
    assert said in check_text(made, width=200).splitlines()


def test_what_another_value_gave_is_told() -> None:
    guess = Assumption("X", "a", "guess", "--x", "X: a (--x)", matters=True, instead="at 0x1 the verdict is exhausted")
    text = check_text(result(GOOD)._replace(assumptions=(guess,)))
    assert "  - X: a (--x); at 0x1 the verdict is exhausted\n" in text


def test_the_command_that_makes_the_change() -> None:
    change = Change("/a", "reg", b"", "<0x0>")
    (line,) = [item for item in actions(at("/a", "/a one").with_cures((Cure((change,)),)), width=200) if "overlay" in item]
    assert line == "  The change as an overlay: dtanalyze fix trees/01-dom0-x420-l612.dtb > fix.dtso"


def test_what_is_guessed_is_told_and_the_rest_counted() -> None:
    known = Assumption("RAM", "1 GiB", "tree", "--memory", "RAM: 1 GiB, from the tree")
    guess = Assumption("KASLR", "not known", "guess", "--kaslr", "KASLR: not known (--kaslr)", matters=True)
    text = check_text(result(GOOD)._replace(assumptions=(known, guess)))
    assert text.endswith(
        "Assumed\n  - KASLR: not known (--kaslr); another value changes the verdict\n"
        "  - 1 more, known from the tree, options and defaults (--verbose)\n"
    )
    assert "RAM: 1 GiB, from the tree" in check_text(result(GOOD)._replace(assumptions=(known, guess)), verbose=True)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_it_may_be(width: int) -> None:
    path = "/soc/" + "/".join(f"bus@{number:08x}" for number in range(30))
    made = result(GOOD)._replace(path=f"some{path}.dtb", findings=(at(path, f"{path} covers {path}"),))
    assert max(map(len, check_text(made, width=width, verbose=True).splitlines())) <= width


def test_rows_keep_their_column_and_go_on_two_further_in() -> None:
    assert fitted(["  new    error of some length", "short", "    no label here at all"], 16) == [
        "  new    error",
        "    of some",
        "    length",
        "short",
        "    no label",
        "      here at",
        "      all",
    ]


def test_wrapping_loses_nothing() -> None:
    text = "a /very/long/path/that/does/not/fit/anywhere,in/one/line at all"
    lines = wrapped(text, 20, first="  - ")
    assert max(map(len, lines)) <= 20 and lines[0].startswith("  - ")
    assert "".join(line[4:] for line in lines).replace(" ", "") == text.replace(" ", "")
    assert wrapped("", 20) == [""]


@pytest.mark.parametrize(
    ("text", "said"), [("region 0 is", "Region 0 is."), ("/a is", "/a is."), ("Is it?", "Is it?"), ("a.toml: it", "a.toml: it.")]
)
def test_a_sentence(text: str, said: str) -> None:
    assert sentence(text) == said


@pytest.mark.parametrize("width", [24, 40, 80])
def test_a_command_that_does_not_fit_is_one_for_the_shell(width: int) -> None:
    """What stands below the label, copied with its line ends and run: the shell hands over the same words."""
    words = ["printf", "%s,", "boards/" + "a" * 70 + ".dtb", "--memory", "0x40000000+2G", "x" * (width - 4), "--write"]
    label, *lines = command_lines(words, width, label="  to apply:")
    assert label == "  to apply:" and max(map(len, lines)) <= width
    ran = subprocess.run(["sh", "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert ran.stdout.split(",")[:-1] == words[2:]
    assert not any(line.removesuffix(" \\").endswith("--memory") for line in lines), "an option keeps what it takes"
    quoted = command_lines(["echo", "'a b'" + "c" * width], width, label="x:")
    assert quoted[-1].strip() == "'a b'" + "c" * width, "what stands in quotes stays whole: no shell joins it"

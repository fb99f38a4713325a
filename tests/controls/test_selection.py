"""--select, --ignore and --min-severity, by hand on recorded trees."""

from __future__ import annotations

import json

import pytest

from dtanalyze.cli import main
from tests.conftest import FIXTURES

BOOTS = FIXTURES / "dtb" / "boots"
REFUSED = str(BOOTS / "11e-is-ram.dtb")  # V-conflict and X03, both errors
CUT = str(BOOTS / "01-dom0-x420-l612.dtb")  # twice X17 (warning), once X12 (info)


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, list[str], str]:
    """Return the exit status, the rules that are reported, and stderr."""
    with pytest.raises(SystemExit) as left:
        main(["check", "--linux", "6.12", "--format", "json", *argv])
    printed = capsys.readouterr()
    found = json.loads(printed.out)["results"] if printed.out else []
    status = left.value.code
    return (status if isinstance(status, int) else 0), [item["rule"] for r in found for item in r["findings"]], printed.err


@pytest.mark.parametrize(
    ("argv", "status", "rules"),
    [
        ([REFUSED], 1, ["X03"]),
        ([REFUSED, "--select", "X03"], 1, ["X03"]),
        ([REFUSED, "--select", "X"], 1, ["X03"]),
        ([REFUSED, "--select", "region-over-ram"], 1, ["X03"]),
        ([REFUSED, "--select", "v-"], 1, ["V-conflict"]),
        ([REFUSED, "--select", "X01,X02"], 0, []),
        ([REFUSED, "--ignore", "X03"], 1, ["V-conflict"]),
        ([REFUSED, "--ignore", "X03,V-conflict"], 0, []),
        ([REFUSED, "--ignore", "X", "--ignore", "V"], 0, []),
        ([REFUSED, "--select", "X", "--ignore", "X03"], 0, []),
        ([CUT], 0, ["X17", "X17", "X12"]),
        ([CUT, "--min-severity", "warning"], 0, ["X17", "X17"]),
        ([CUT, "--min-severity", "warning", "--fail-on", "info"], 1, ["X17", "X17"]),
        ([CUT, "--min-severity", "error", "--fail-on", "info"], 0, []),
    ],
)
def test_what_is_left_out_does_not_count(
    argv: list[str], status: int, rules: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, *argv)[:2] == (status, rules)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--select", "X99"], "--select: no rule is called 'X99'; the nearest is X"),
        (["--ignore", "region-over-rom"], "--ignore: no rule is called 'region-over-rom'; the nearest is region-over-ram"),
        (["--ignore", "~~~~"], "--ignore: no rule is called '~~~~'"),
        (["--select", ""], "--select: no rule is called ''"),
        (["--min-severity", "fatal"], "--min-severity takes error, warning or info, not 'fatal'"),
    ],
)
def test_what_is_no_rule(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(capsys, REFUSED, *argv)
    assert status == 2 and words in err

"""Groups of options: the command line sees the fields, the command gets the tuple, the help shows the headings."""

from typing import Annotated, NamedTuple

import pytest
import typer

from dtanalyze.cli import main
from dtanalyze.cli.groups import GroupedCommand, grouped
from dtanalyze.cli.option import Group, Option


class Paint(NamedTuple):
    colour: Annotated[str, Option("--colour", help="Which.")] = "red"
    coats: Annotated[int, Option("--coats", help="How many.")] = 1


class Broken(NamedTuple):
    colour: Annotated[str, "no option"] = "red"


PaintGroup = Annotated[Paint, Group("Paint")]


def door(wood: str, *, paint: PaintGroup, knob: Annotated[bool, Option("--knob")] = False) -> None:
    """Make a door."""
    typer.echo(f"{wood} {paint!r} {knob}")


def call(*args: str) -> int:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=GroupedCommand)(grouped(door))
    with pytest.raises(SystemExit) as left:
        app(list(args), prog_name="door")
    return int(left.value.code or 0)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["oak"], "oak Paint(colour='red', coats=1) False"),
        (["oak", "--coats", "3", "--knob"], "oak Paint(colour='red', coats=3) True"),
    ],
)
def test_the_command_gets_the_tuple(capsys: pytest.CaptureFixture[str], args: list[str], said: str) -> None:
    assert call(*args) == 0
    assert capsys.readouterr().out == said + "\n"


def test_help_has_a_heading_for_each_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("--help") == 0
    out = capsys.readouterr().out
    places = [out.index(line) for line in ("Arguments:\n", "\nPaint:\n", "--colour", "\nOther options:\n", "--knob")]
    assert places == sorted(places)


@pytest.mark.parametrize(("command", "own"), [("fix", "--apply"), ("map", "--html"), ("predict", "--emit-dtb"), ("diff", "--old-root")])
def test_what_is_the_commands_own_stands_before_what_all_share(
    command: str, own: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    places = [out.index(line) for line in ("Arguments:\n", "\nOptions:\n", own, "\nXen, for a host", "\nOther options:\n", "--debug")]
    assert places == sorted(places)


def test_a_field_has_to_be_an_option() -> None:
    def wrong(broken: Annotated[Broken, Group("Broken")]) -> None:
        del broken

    with pytest.raises(TypeError, match=r"Broken\.colour is no option"):
        grouped(wrong)

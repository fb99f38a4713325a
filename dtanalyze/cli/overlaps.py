"""``dtanalyze overlaps``."""

from collections.abc import Sequence
from typing import Final

from dtanalyze.board.build import build_board
from dtanalyze.board.bus import LINUX
from dtanalyze.cli import options
from dtanalyze.cli.outputs import columns
from dtanalyze.cli.rendering import say_rendered
from dtanalyze.cli.run import Sources, TreeInput, each_input, usage_errors
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import InputFailure
from dtanalyze.report import check_format
from dtanalyze.rules.overlap import Overlap, device_overlaps
from dtanalyze.version import __version__

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Examples:

dtanalyze overlaps board.dtb
"""


def command(
    paths: options.PathsArgument,
    format_: options.FormatOption = "text",
    color: options.ColorOption = "auto",
    *,
    source: options.SourceGroup,
) -> None:
    """List devices that share addresses.

    With the reason why each pair is taken to be meant so, or that there is none.
    """
    from dtanalyze.report.overlaps import overlaps_json, overlaps_text

    with usage_errors():
        check_format(format_)
        style = options.style_from(color)

    def analyse(item: TreeInput) -> tuple[str, tuple[Overlap, ...]]:
        data, path = item.data, item.name
        return path, tuple(device_overlaps(build_board(parse(data), LINUX)))

    results, failures = each_input(paths, analyse, Sources(None, source.sourcing()))

    def render(found: Sequence[tuple[str, tuple[Overlap, ...]]], failed: list[InputFailure]) -> str:
        if format_ == "json":
            from dtanalyze.report.json import document

            return document([overlaps_json(*item) for item in found], failed, __version__)
        return "\n".join(overlaps_text(*item, style=style, width=columns()) for item in found)

    say_rendered(results, render, failures, lambda place: (results[place][0], ""))

"""``dtanalyze addresses``."""

from collections.abc import Sequence
from typing import Annotated, Final

from dtanalyze.board.build import all_reg_entries, build_board
from dtanalyze.board.bus import LINUX, XEN
from dtanalyze.board.model import PciHost
from dtanalyze.board.translate import RegEntry, reg_entries
from dtanalyze.cli import options
from dtanalyze.cli.option import Option
from dtanalyze.cli.rendering import say_rendered
from dtanalyze.cli.run import Sources, TreeInput, each_input, usage_errors
from dtanalyze.cli.values import choice
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import InputFailure
from dtanalyze.report import check_format
from dtanalyze.version import __version__

__all__ = ["EPILOG", "command"]

Addresses = tuple[str, list[RegEntry], tuple[PciHost, ...]]

EPILOG: Final = """Examples:

dtanalyze addresses board.dtb

dtanalyze addresses board.dtb --rules xen --format json
"""


def command(
    paths: options.PathsArgument,
    format_: options.FormatOption = "text",
    rules: Annotated[
        str,
        Option("--rules", metavar="linux|xen", help="Whose rules: Linux up to 6.12, or Xen's dt_device_get_paddr."),
    ] = "linux",
    *,
    source: options.SourceGroup,
) -> None:
    """List every reg entry with its CPU address.

    With the chain of buses that led there, or why it has none.
    """
    with usage_errors():
        check_format(format_)
        choice(rules, ("linux", "xen"), "--rules")

    def analyse(item: TreeInput) -> Addresses:
        data, path = item.data, item.name
        tree = parse(data)
        if rules == "xen":
            entries = [entry for node in tree.root for entry in reg_entries(node, XEN)]
        else:
            entries = list(all_reg_entries(tree, LINUX))
        return path, entries, build_board(tree, XEN if rules == "xen" else LINUX).pci_hosts

    results, failures = each_input(paths, analyse, Sources(None, source.sourcing()))

    def render(found: Sequence[Addresses], failed: list[InputFailure]) -> str:
        if format_ == "json":
            from dtanalyze.report.json import addresses_result, document

            return document([addresses_result(*item) for item in found], failed, __version__)
        from dtanalyze.report.addresses import addresses_text

        return "\n".join(addresses_text(*item) for item in found)

    say_rendered(results, render, failures, lambda place: (results[place][0], ""))

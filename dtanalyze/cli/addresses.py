"""``dtanalyze addresses``."""

from typing import Annotated, Any, Final

from dtanalyze.board.build import all_reg_entries, build_board
from dtanalyze.board.bus import LINUX, XEN
from dtanalyze.board.model import PciHost
from dtanalyze.board.translate import RegEntry, reg_entries
from dtanalyze.cli import options
from dtanalyze.cli.console import LeaveError, say
from dtanalyze.cli.option import Option
from dtanalyze.cli.run import Sources, TreeInput, each_input, report_failures, usage_errors
from dtanalyze.cli.values import choice
from dtanalyze.devicetree.blob import parse
from dtanalyze.report import check_format
from dtanalyze.version import __version__

__all__ = ["EPILOG", "command"]

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

    def analyse(item: TreeInput) -> tuple[str, list[RegEntry], tuple[PciHost, ...]]:
        data, path = item.data, item.name
        tree = parse(data)
        if rules == "xen":
            entries = [entry for node in tree.root for entry in reg_entries(node, XEN)]
        else:
            entries = list(all_reg_entries(tree, LINUX))
        return path, entries, build_board(tree, XEN if rules == "xen" else LINUX).pci_hosts

    results, failures = each_input(paths, analyse, Sources(None, source.sourcing()))
    if format_ == "json":
        from dtanalyze.report.json import addresses_result, document

        answers: list[dict[str, Any]] = [addresses_result(*item) for item in results]
        say(document(answers, failures, __version__))
    else:
        from dtanalyze.report.addresses import addresses_text

        say("\n".join(addresses_text(*item) for item in results))
    report_failures(failures)
    if failures:
        raise LeaveError(2)

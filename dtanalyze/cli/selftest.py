"""``dtanalyze selftest``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from dtanalyze.cli import kernel_options, options
from dtanalyze.cli.console import LeaveError
from dtanalyze.cli.outputs import columns
from dtanalyze.cli.rendering import say_rendered
from dtanalyze.cli.run import Sources, each_input, usage_errors
from dtanalyze.errors import InputFailure
from dtanalyze.report import check_format
from dtanalyze.version import __version__

if TYPE_CHECKING:
    from dtanalyze.facts import Trial

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Exit status: 0 every fault that the trees have a place for is told right, 1 one is missed or falsely
told, 2 usage or unreadable input.

Examples:

dtanalyze selftest board.dtb --memory 0x40000000+2G
"""


def command(
    paths: options.PathsArgument,
    *,
    format_: options.FormatOption = "text",
    color: options.ColorOption = "auto",
    memory: options.MemoryOption = None,
    kernel: kernel_options.KernelGroup,
    source: options.SourceGroup,
) -> None:
    """Seed faults and tell which rule catches each.

    They go into copies of the tree, one a copy; of each is told, too, whether fix cures it.
    """
    from dtanalyze.analysis.selftest import selftest
    from dtanalyze.report.selftest import selftest_json, selftest_text

    with usage_errors():
        check_format(format_)
        style = options.style_from(color)
        asked = options.question(kernel.profiles()[0], kernel.kaslr, options.TreeOptions(memory=memory))
    sources = Sources(None, source.sourcing())
    results, failures = each_input(
        paths, lambda item: (item.name, selftest(item.data, item.name, asked, asked.memory)), sources
    )

    def render(found: Sequence["tuple[str, tuple[Trial, ...]]"], failed: list[InputFailure]) -> str:
        if format_ == "json":
            from dtanalyze.report.json import document

            return document([selftest_json(*item) for item in found], failed, __version__)
        return "\n".join(selftest_text(*item, style=style, width=columns()) for item in found)

    say_rendered(results, render, failures, lambda place: (results[place][0], ""))
    if not all(trial.passed for _, trials in results for trial in trials):
        raise LeaveError(1)

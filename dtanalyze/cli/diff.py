"""``dtanalyze diff``."""

from typing import Annotated, Final

from dtanalyze.causes import folded
from dtanalyze.cli import control_options, options, xen_options
from dtanalyze.cli.console import LeaveError, fail, say
from dtanalyze.cli.option import Argument, Option
from dtanalyze.cli.run import Sources, checked, each_input, report_failures, usage_errors
from dtanalyze.report import check_format
from dtanalyze.version import __version__

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Exit status: 0 nothing got worse, 1 a worse verdict, fewer sections or a new finding at or above
--fail-on, 2 usage or unreadable input.

Examples:

dtanalyze diff old.dtb new.dtb

dtanalyze diff old.dtb new.dtb --memory 0x40000000+2G --xen 4.20 --format json
"""


def command(
    old: Annotated[str, Argument(metavar="OLD", help="The tree before.", show_default=False)],
    new: Annotated[str, Argument(metavar="NEW", help="The tree after.", show_default=False)],
    *,
    format_: Annotated[
        str, Option("--format", metavar="text|json|markdown", help="How to print the answer; markdown for a comment.")
    ] = "text",
    fail_on: Annotated[
        str,
        Option(
            "--fail-on",
            metavar="error|warning|info|never",
            help="Lowest severity of a new finding that counts; with never nothing does.",
        ),
    ] = "error",
    color: options.ColorOption = "auto",
    tree: options.TreeGroup,
    kernel: options.KernelGroup,
    mappings: options.MappingGroup,
    host: xen_options.HostGroup,
    overlay: options.OverlayGroup,
    source: options.SourceGroup,
) -> None:
    """Compare two versions of a tree.

    Findings new and fixed, the verdict, regions, RAM and sections.
    """
    with usage_errors():
        check_format(format_, ("text", "json", "markdown"))
        lowest = control_options.threshold(fail_on)
        style = options.style_from(color)
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree, mappings)
        question = host.question(asked, profiles)
        sourcing = source.sourcing()
        sources = Sources(overlay.read(sourcing), sourcing)
    groups, failures = each_input([old, new], lambda item: checked(item, asked, question), sources)
    report_failures(failures)
    if failures:
        raise LeaveError(2)
    if len(groups) != 2:
        fail(f"diff compares one tree with one, not {len(groups)}")
    from dtanalyze.controls.difference import changes
    from dtanalyze.report.difference import difference_json, difference_text

    found = changes(*(map(folded, group) for group in groups))
    if format_ == "json":
        import json

        from dtanalyze.report.foreign import json_text
        from dtanalyze.report.json import SCHEMA_VERSION

        head = {"schema_version": SCHEMA_VERSION, "tool": {"name": "dtanalyze", "version": __version__}}
        answer = {**head, "old": old, "new": new, "changes": difference_json(found)}
        say(json_text(json.dumps(answer, indent=1)) + "\n")
    elif format_ == "markdown":
        from dtanalyze.report.comment import difference_markdown

        say(difference_markdown(found, new))
    else:
        say(difference_text(found, style=style))
    if any(change.is_worse(lowest) for change in found):
        raise LeaveError(1)

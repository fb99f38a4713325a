"""``dtanalyze fix``."""

from typing import Annotated, Final

import typer

from dtanalyze.cli import options, xen_options
from dtanalyze.cli.console import note, say
from dtanalyze.cli.outputs import asked as given_words
from dtanalyze.cli.replacing import write_file
from dtanalyze.cli.run import Sources, each_input, fail, report_failures, usage_errors
from dtanalyze.findings import Severity
from dtanalyze.report import check_format
from dtanalyze.version import __version__

__all__ = ["EPILOG", "command"]

EPILOG: Final = """Each change is offered only after it was tried: made in a copy, with the whole question asked again, for
all releases and kernels asked about. The overlay goes to standard output, what it does to standard error; the input is never
changed. Exit status: 0 no error is left with the changes made, 1 some are, 2 usage or unreadable input.

Examples:

dtanalyze fix board.dtb --memory 0x0+2G > fix.dtso

dtanalyze fix board.dtb --xen all --apply fixed.dtb -o fix.dtso

dtanalyze fix board.dtb --need 512M --alternatives
"""


def command(
    ctx: typer.Context,
    path: Annotated[str, typer.Argument(metavar="PATH", help="The tree.", show_default=False)],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where the overlay goes.", show_default=False)
    ] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            "--apply",
            "--emit-dtb",
            metavar="FILE",
            help="Write the tree with the changes made; nothing is written when there are none.",
            show_default=False,
        ),
    ] = None,
    alternatives: Annotated[
        bool, typer.Option("--alternatives", help="Also try the other cures of each finding, and name them.")
    ] = False,
    format_: options.FormatOption = "text",
    tree: options.TreeGroup,
    kernel: options.KernelGroup,
    mappings: options.MappingGroup,
    host: xen_options.HostGroup,
    source: options.SourceGroup,
) -> None:
    """Write the smallest changes that remove findings.

    They come as an overlay, with what check says once it is applied.
    """
    from dtanalyze.analysis.fix import fix
    from dtanalyze.report.fix import fix_json, overlay_text, summary_text

    with usage_errors():
        check_format(format_)
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree, mappings)
        question = host.question(asked, profiles)
    sources = Sources(None, source.sourcing())
    results, failures = each_input(
        [path], lambda item: fix(item.data, item.name, asked, question, alternatives=alternatives), sources
    )
    report_failures(failures)
    if failures:
        raise typer.Exit(2)
    if len(results) != 1:
        fail(f"fix changes one tree, not {len(results)}")
    (found,) = results
    text = overlay_text(found, path)
    if format_ == "json":
        from dtanalyze.report.json import document

        text = document([fix_json(found, path)], (), __version__)
    with usage_errors():
        if output is None:
            say(text)
        else:
            write_file(output, text.encode("utf-8", "surrogateescape"))
        if apply is not None and found.edits:
            write_file(apply, found.blob)
    note(summary_text(found, path, given_words(ctx)))
    if apply is not None and not found.edits:
        note(f"{apply}: not written, there is nothing to change")
    if any(item.severity is Severity.ERROR for result in found.after for item in result.findings):
        raise typer.Exit(1)

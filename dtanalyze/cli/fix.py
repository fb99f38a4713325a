"""``dtanalyze fix``."""

from typing import Annotated, Final

import typer

from dtanalyze.cli import options, xen_options
from dtanalyze.cli.console import note, say
from dtanalyze.cli.replacing import write_file
from dtanalyze.cli.run import Sources, each_input, fail, report_failures, usage_errors
from dtanalyze.findings import Severity

__all__ = ["EPILOG", "command"]

EPILOG: Final = """The overlay goes to standard output, what it does to standard error; the input is never changed. Exit
status: 0 no error is left with the overlay applied, 1 some are, 2 usage or unreadable input.

Examples:

dtanalyze fix board.dtb --memory 0x0+2G > fix.dtso

dtanalyze fix board.dtb -o fix.dtso --emit-dtb fixed.dtb
"""


def command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The tree.", show_default=False)],
    *,
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="FILE", help="Where the overlay goes.", show_default=False)
    ] = None,
    emit_dtb: Annotated[
        str | None,
        typer.Option("--emit-dtb", metavar="FILE", help="Also write the tree with the changes made.", show_default=False),
    ] = None,
    tree: options.TreeGroup,
    kernel: options.KernelGroup,
    host: xen_options.HostGroup,
    source: options.SourceGroup,
) -> None:
    """Write the smallest changes that remove findings.

    They come as an overlay, with what check says once it is applied.
    """
    from dtanalyze.analysis.fix import fix
    from dtanalyze.report.fix import overlay_text, summary_text

    with usage_errors():
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree)
        question = host.question(asked, profiles)
    sources = Sources(None, source.sourcing())
    results, failures = each_input([path], lambda item: fix(item.data, item.name, asked, question), sources)
    report_failures(failures)
    if failures:
        raise typer.Exit(2)
    if len(results) != 1:
        fail(f"fix changes one tree, not {len(results)}")
    (found,) = results
    text = overlay_text(found, path)
    with usage_errors():
        if output is None:
            say(text)
        else:
            write_file(output, text.encode("utf-8", "surrogateescape"))
        if emit_dtb is not None:
            write_file(emit_dtb, found.blob)
    note(summary_text(found, path))
    if any(item.severity is Severity.ERROR for result in found.after for item in result.findings):
        raise typer.Exit(1)

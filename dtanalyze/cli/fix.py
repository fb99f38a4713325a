"""``dtanalyze fix``."""

from typing import Annotated, Final

from dtanalyze.cli import kernel_options, options, settings, xen_options
from dtanalyze.cli.call import Call
from dtanalyze.cli.console import LeaveError, fail, note, say
from dtanalyze.cli.idle import tell_idle
from dtanalyze.cli.option import Argument, Option
from dtanalyze.cli.outputs import asked as given_words
from dtanalyze.cli.outputs import columns
from dtanalyze.cli.replacing import write_file
from dtanalyze.cli.run import Sources, each_input, held_to_limits, report_failures, usage_errors
from dtanalyze.cli.source_fix import SourceFix, source_fix, write_sources
from dtanalyze.errors import UsageError
from dtanalyze.facts import Fix
from dtanalyze.findings import Severity
from dtanalyze.report import check_format
from dtanalyze.report.source_diff import diff_text, left_text, shared_text, shown, source_json, written_text
from dtanalyze.version import __version__

__all__ = ["EPILOG", "SETTINGS", "command"]

SETTINGS: Final = True
"""Files and the environment may say what the command line does not: the question is that of the gate."""

EPILOG: Final = """Each change is offered only after it was tried: made in a copy, with the whole question asked again, for
all releases and kernels asked about. The overlay (or the diff) goes to standard output, what it does to standard error.
Only --write changes an input: sources below the working folder, all of them or none. Exit status: 0 no error is left with
the changes made, 1 some are, 2 usage, unreadable input, or a source that cannot be changed.

Examples:

dtanalyze fix board.dtb --memory 0x0+2G > fix.dtso

dtanalyze fix board.dtb --xen all --apply fixed.dtb -o fix.dtso

dtanalyze fix board.dtb --need 512M --alternatives

dtanalyze fix board.dts -I include --diff; dtanalyze fix board.dts -I include --write
"""


def command(
    call: Call,
    path: Annotated[str, Argument(metavar="PATH", help="The tree.", show_default=False)],
    *,
    output: Annotated[
        str | None, Option("--output", "-o", metavar="FILE", help="Where the overlay goes.", show_default=False)
    ] = None,
    apply: Annotated[
        str | None,
        Option(
            "--apply",
            "--emit-dtb",
            metavar="FILE",
            help="Write the tree with the changes made; nothing is written when there are none.",
            show_default=False,
        ),
    ] = None,
    alternatives: Annotated[
        bool, Option("--alternatives", help="Also try the other cures of each finding, and name them.")
    ] = False,
    diff: Annotated[
        bool, Option("--diff", help="Show the changes as a unified diff of the source, in place of the overlay.")
    ] = False,
    write: Annotated[
        bool,
        Option("--write", help="Make the changes in the source: files below the working folder, all or none."),
    ] = False,
    format_: options.FormatOption = "text",
    tree: options.TreeGroup,
    kernel: kernel_options.KernelGroup,
    mappings: options.MappingGroup,
    host: xen_options.HostGroup,
    source: options.SourceGroup,
    files: settings.QuestionSettingsGroup,
) -> None:
    """Write the smallest changes that remove findings.

    They come as an overlay, with what check says once it is applied.
    """
    from dtanalyze.analysis.fix import fix
    from dtanalyze.report.fix import summary_text

    files.tell(call)
    with usage_errors():
        check_format(format_)
        if (diff or write) and source.source is None and not path.endswith(".dts"):
            raise UsageError("--diff and --write change a source: give the .dts, or --source board.dts beside the blob")
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree, mappings)
        question = host.question(asked, profiles)
    sources = Sources(None, source.sourcing())
    results, failures = each_input(
        [path], lambda item: fix(item.data, item.name, asked, question, alternatives=alternatives), sources
    )
    report_failures(failures)
    if failures:
        raise LeaveError(2)
    if len(results) != 1:
        fail(f"fix changes one tree, not {len(results)}")
    (found,) = results
    with held_to_limits(path):
        changed = source_fix(source.source or path, found.edits, source.sourcing()) if diff or write else None
        text = _document(found, path, format_, changed, diff=diff, to_file=output is not None)
        told = summary_text(found, path, given_words(call), made=write or apply is not None, width=columns())
    with usage_errors():
        _tell(text, output)
        if apply is not None and found.edits:
            write_file(apply, found.blob)
        if changed is not None:
            note(left_text(changed.left))
            note(shared_text(changed.files, source.source or path))
            if write:
                write_sources(changed)
                note(written_text(changed.files))
    tell_idle(call, {item.tree for item in found.before})
    note(told)
    if apply is not None and not found.edits:
        note(f"{apply}: not written, there is nothing to change")
    if any(item.severity is Severity.ERROR for result in found.after for item in result.findings):
        raise LeaveError(1)


def _tell(text: str, output: str | None) -> None:
    """Write the overlay, the diff or the data to where they go."""
    if output is None:
        say(text)
    else:
        write_file(output, text.encode("utf-8", "surrogateescape"))


def _document(found: Fix, path: str, format_: str, changed: SourceFix | None, *, diff: bool, to_file: bool) -> str:
    """Return what goes to the output: data, the diff of the source, or the overlay; ``--write`` alone gives nothing."""
    from dtanalyze.report.fix import fix_json, overlay_text

    if format_ == "json":
        from dtanalyze.report.json import document

        source = {} if changed is None else {"source": source_json(changed.files, changed.left)}
        return document([{**fix_json(found, path), **source}], (), __version__)
    if changed is None:
        return overlay_text(found, path)
    if not diff:
        return ""
    text = diff_text(changed.files)
    return text if to_file else shown(text)

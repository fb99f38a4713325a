"""``dtanalyze map``."""

from collections.abc import Sequence
from typing import Annotated, Final

from dtanalyze.causes import folded
from dtanalyze.cli import kernel_options, options, settings, xen_options
from dtanalyze.cli.call import Call
from dtanalyze.cli.console import LeaveError, say
from dtanalyze.cli.idle import tell_idle
from dtanalyze.cli.option import Option
from dtanalyze.cli.outputs import columns
from dtanalyze.cli.rendering import rendered
from dtanalyze.cli.replacing import write_file
from dtanalyze.cli.run import Sources, TreeInput, checked, each_input, report_failures, usage_errors
from dtanalyze.errors import InputFailure, UsageError
from dtanalyze.facts import CheckResult
from dtanalyze.report.style import Style

__all__ = ["EPILOG", "SETTINGS", "command"]

Drawn = list[tuple[str, str]]
"""Files with their text; ``-`` is standard output."""

SETTINGS: Final = True
"""Files and the environment may say what the command line does not: the question is that of the gate."""

EPILOG: Final = """Examples:

dtanalyze map guest.dtb

dtanalyze map board.dtb --memory 0x40000000+4G --xen all --html map.html

dtanalyze map guest.dtb --list --request 1 --request 40000
"""


def command(
    call: Call,
    paths: options.PathsArgument,
    *,
    html: Annotated[
        str | None, Option("--html", metavar="FILE", help="One page with everything; - is standard output.")
    ] = None,
    svg: Annotated[
        str | None, Option("--svg", metavar="FILE", help="A picture of one result; - is standard output.")
    ] = None,
    listed: Annotated[bool, Option("--list", help="Both views spelled like /proc/iomem instead of drawn.")] = False,
    certain: Annotated[bool, Option("--certain", help="With --list: leave out claims that a driver only may make.")] = False,
    color: options.ColorOption = "auto",
    tree: options.TreeGroup,
    kernel: kernel_options.KernelGroup,
    mappings: options.MappingGroup,
    host: xen_options.HostGroup,
    overlay: options.OverlayGroup,
    source: options.SourceGroup,
    files: settings.QuestionSettingsGroup,
) -> None:
    """Draw the address space.

    Both views on one axis: what xen_resource offers and the kernel takes of it, and who uses what of iomem_resource.
    """
    files.tell(call)
    with usage_errors():
        style = options.style_from(color)
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, tree, mappings)
        question = host.question(asked, profiles)
        sourcing = source.sourcing()
        sources = Sources(overlay.read(sourcing), sourcing)

    def analyse(item: TreeInput) -> tuple[CheckResult, ...]:
        return tuple(map(folded, checked(item, asked, question)))

    def render(found: Sequence[tuple[CheckResult, ...]], _: list[InputFailure]) -> Drawn:
        results = [result for group in found for result in group]
        if html is None and svg is None:
            return [("-", _text(results, style, listed=listed, certain=certain))] if results else []
        return _files(results, html, svg)

    groups, failures = each_input(paths, analyse, sources)
    with usage_errors():
        drawn, left, failures = rendered(groups, render, failures, lambda place: (groups[place][0].path, ""))
    report_failures(failures)
    tell_idle(call, {item.tree for group in left for item in group})
    with usage_errors():
        for file, text in drawn:
            _write(file, text)
    if failures:
        raise LeaveError(2)


def _text(results: list[CheckResult], style: Style, *, listed: bool, certain: bool) -> str:
    if listed:
        from dtanalyze.report.map import map_text

        return "\n".join(map_text(result, style=style, certain_only=certain) for result in results)
    from dtanalyze.report.picture.scene import scene
    from dtanalyze.report.picture.terminal import picture_text

    return "\n".join(picture_text(scene(result), style=style, width=columns()) for result in results)


def _files(results: list[CheckResult], html: str | None, svg: str | None) -> Drawn:
    """Return the files that are asked for, each with its text; none where there is nothing to draw."""
    if not results:
        return []
    from dtanalyze.report.picture.scene import scene

    scenes = tuple(scene(result) for result in results)
    drawn: Drawn = []
    if svg is not None:
        if len(scenes) != 1:
            raise UsageError(f"--svg draws one result, these are {len(scenes)}: choose one, or take --html")
        from dtanalyze.report.picture.svg import picture_svg

        drawn.append((svg, picture_svg(scenes[0])))
    if html is not None:
        from dtanalyze.report.picture.html import picture_html

        drawn.append((html, picture_html(scenes)))
    return drawn


def _write(file: str, text: str) -> None:
    if file == "-":
        say(text)
        return
    write_file(file, text.encode("utf-8", "backslashreplace"))

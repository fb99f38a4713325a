"""``dtanalyze predict``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from dtanalyze.analysis import HostQuestion
from dtanalyze.cli import kernel_options, options, outputs, settings, xen_options
from dtanalyze.cli.call import Call
from dtanalyze.cli.console import LeaveError, fail
from dtanalyze.cli.option import Option
from dtanalyze.cli.rendering import say_rendered
from dtanalyze.cli.replacing import write_file
from dtanalyze.cli.run import Sources, TreeInput, each_input, usage_errors
from dtanalyze.errors import InputError, InputFailure, UsageError
from dtanalyze.facts import Predicted
from dtanalyze.report import check_format
from dtanalyze.version import __version__

__all__ = ["EPILOG", "SETTINGS", "command"]

SETTINGS: Final = True
"""Files and the environment may say what the command line does not: the question is that of the gate."""

EPILOG: Final = """Examples:

dtanalyze predict board.dtb --xen 4.20 --memory 0x40000000+2G --dom0-mem 1G

dtanalyze predict board.dtb --iommu on --explain

dtanalyze predict board.dtb --emit-dtb dom0.dtb
"""


def command(
    call: Call,
    paths: options.PathsArgument,
    *,
    format_: options.FormatOption = "text",
    explain: Annotated[bool, Option("--explain", help="Show Xen's working step by step.")] = False,
    emit_dtb: Annotated[
        str | None,
        Option(
            "--emit-dtb",
            metavar="OUT",
            help="Write the guest's tree: a file (as source when it ends in .dts), a folder for several.",
            show_default=False,
        ),
    ] = None,
    color: options.ColorOption = "auto",
    quiet: Annotated[bool, Option("--quiet", "-q", help="Print a line for each domain only.")] = False,
    memory: options.MemoryOption = None,
    as_: Annotated[
        str | None,
        Option(
            "--as",
            metavar="host",
            help="Take a tree with a /hypervisor node for a board's own all the same.",
            show_default=False,
        ),
    ] = None,
    host: xen_options.HostGroup,
    kernel: kernel_options.KernelGroup,
    overlay: options.OverlayGroup,
    source: options.SourceGroup,
    files: settings.QuestionSettingsGroup,
) -> None:
    """Tell what Xen does with a board's own tree.

    What stops it, and which extended regions each domain gets.
    """
    files.tell(call)
    with usage_errors():
        check_format(format_)
        style = options.style_from(color)
        if as_ not in (None, "host"):
            raise UsageError(f"predict takes trees of hosts: --as host, not '{as_}'")
        profiles = kernel.profiles()
        asked = options.question(profiles[0], kernel.kaslr, options.TreeOptions(memory=memory))
        question = host.question(asked, profiles)
        sourcing = source.sourcing()
        sources = Sources(overlay.read(sourcing), sourcing)

    groups, failures = each_input(paths, lambda item: _predicted(item, question, any_tree=as_ == "host"), sources)
    results = [item for group in groups for item in group]
    if emit_dtb is not None:
        with usage_errors():
            _emit(Path(emit_dtb), results)

    def render(found: Sequence[list[tuple[str, Predicted]]], failed: list[InputFailure]) -> str:
        flat = [item for group in found for item in group]
        if format_ == "json":
            from dtanalyze.report.json import document, predict_result

            return document([predict_result(*item) for item in flat], failed, __version__)
        from dtanalyze.report.predict import predict_text

        width, words = outputs.columns(), outputs.asked(call)
        texts = [predict_text(*item, style=style, quiet=quiet, explain=explain, width=width, asked=words) for item in flat]
        return ("" if quiet else "\n").join(texts)

    say_rendered(groups, render, failures, lambda place: (groups[place][0][0], ""))
    if any(item.prediction.stopped_by for _, item in results):
        raise LeaveError(1)


def _predicted(item: TreeInput, question: HostQuestion, *, any_tree: bool) -> list[tuple[str, Predicted]]:
    """Return what Xen does with a tree; raise `InputError` for a guest's, unless any tree is taken for a host's."""
    from dtanalyze.analysis.guest import kind_of
    from dtanalyze.analysis.host import predict_host
    from dtanalyze.devicetree.blob import parse

    tree = parse(item.data)
    if not any_tree and kind_of(tree) != "host":
        raise InputError(
            "it is a guest's tree, with a /hypervisor node: there is nothing to predict; check reads such a tree, "
            "and --as host takes it for a host's all the same"
        )
    return [(item.name, found) for found in predict_host(tree, item.name, question)]


def _emit(out: Path, results: list[tuple[str, Predicted]]) -> None:
    """Write the trees: one to a file, several into a folder under names that say what they are."""
    found = [(path, item.prediction) for path, item in results if item.prediction.blob is not None]
    # One prediction serves every kernel of a sweep.
    blobs = list({(path, item.domain, item.xen, item.iommu): (path, item) for path, item in found}.values())
    if not blobs:
        fail("--emit-dtb: there is no tree to write, since the host tree lists no RAM (--memory supplies it)")
    try:
        if len(blobs) == 1 and not out.is_dir():
            write_file(str(out), _spelled(blobs[0][1].blob or b"", out))
            return
        if out.exists() and not out.is_dir():
            fail(f"--emit-dtb: {out} is a file, and {len(blobs)} trees need a folder")
        out.mkdir(parents=True, exist_ok=True)
        taken: dict[str, bytes] = {}
        for path, item in blobs:
            domain = item.domain.strip("/").replace("/", "-").replace(":", "-")
            iommu = "iommu" if item.iommu else "noiommu"
            name = f"{Path(path).stem}-{domain}-xen{item.xen}-{iommu}.dtb"
            blob = item.blob or b""
            if taken.get(name, blob) != blob:
                fail(f"--emit-dtb: two different trees would both be called {name}; give each input a run of its own")
            if name not in taken:
                write_file(str(out / name), blob)
            taken[name] = blob
    except OSError as error:
        fail(f"--emit-dtb: {out}: {error.strerror or error}")


def _spelled(blob: bytes, out: Path) -> bytes:
    """Return the tree as the name of its file asks for: as source, or as the blob it is."""
    if out.suffix != ".dts":
        return blob
    from dtanalyze.devicetree.blob import parse
    from dtanalyze.devicetree.source import to_dts

    with usage_errors():
        return to_dts(parse(blob)).encode("ascii")

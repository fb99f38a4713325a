"""The table of contents: bytes and profiles in, results out. The only wiring; no effects."""

from __future__ import annotations

from dtanalyze.address.units import format_size
from dtanalyze.analysis.guest import check_guest, kind_of, memory_of, whole
from dtanalyze.analysis.memory_hint import memory_hint
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.board.build import build_board
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.source_map import SourceMap
from dtanalyze.devicetree.tree import Tree
from dtanalyze.facts import CheckResult

__all__ = ["CheckOptions", "HostQuestion", "check", "in_file", "in_sources"]


def check(data: bytes, path: str, options: CheckOptions, question: HostQuestion | None = None) -> tuple[CheckResult, ...]:
    """Return the results for a blob; raise `BlobError` when it is none.

    A guest tree gives one result for each kernel of ``question`` (or of ``options`` alone). A host tree
    (``options.tree`` or found out) goes through Xen first and gives one for each cell and domain.
    """
    tree = whole(parse(data))
    kind = options.tree or kind_of(tree)
    if options.assume_memory and not options.memory and not (question and question.host and question.host.tells_ram):
        options = _with_memory(tree, options)
    asked = (question or HostQuestion(options, (options.linux,)))._replace(options=options)
    if kind == "host":
        # Imported here: a guest tree has no use for the mirrors of Xen, and start-up is most of a check's time.
        from dtanalyze.analysis.host import check_host

        return check_host(tree, path, asked)
    return tuple(check_guest(tree, path, options._replace(tree=kind, linux=linux)) for linux in asked.linux)


def _with_memory(tree: Tree, options: CheckOptions) -> CheckOptions:
    """Return the question with RAM as a guess where the tree lists none; unchanged where nothing shows where it begins."""
    board = build_board(tree, options.linux.address_rules)
    if memory_of(board, options)[0].memory:
        return options
    hint = memory_hint(board)
    span = hint.guess if hint is not None else None
    if hint is None or span is None:
        return options
    said = f"{format_size(span.size)} at {span.start:#x}, a guess by --assume-memory auto from {hint.source}"
    return options._replace(memory=(span,), memory_from=f"{said} (--memory settles it)")


def in_file(original: bytes, results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    """Return results of a tree that overlays were applied to with offsets into the file they were applied to.

    What only an overlay has gets none.
    """
    from dtanalyze.analysis.offsets import placed_in

    tree = parse(original)
    return tuple(result._replace(findings=placed_in(tree, result.findings)) for result in results)


def in_sources(data: bytes, places: SourceMap, results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    """Return results whose findings stand at lines of the sources that ``data`` was compiled from."""
    from dtanalyze.analysis.offsets import written_in

    tree = parse(data)
    return tuple(
        result._replace(findings=written_in(tree, places, result.findings), remarks=places.remarks) for result in results
    )

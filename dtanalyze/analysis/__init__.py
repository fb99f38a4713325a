"""The table of contents: bytes and profiles in, results out. The only wiring; no effects."""

from __future__ import annotations

from dtanalyze.analysis.guest import check_guest, kind_of
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.devicetree.blob import parse
from dtanalyze.facts import CheckResult

__all__ = ["CheckOptions", "HostQuestion", "check", "in_file"]


def check(data: bytes, path: str, options: CheckOptions, question: HostQuestion | None = None) -> tuple[CheckResult, ...]:
    """Return the results for a blob; raise `BlobError` when it is none.

    A guest tree gives one result for each kernel of ``question`` (or of ``options`` alone). A host tree
    (``options.tree`` or found out) goes through Xen first and gives one for each cell and domain.
    """
    tree = parse(data)
    kind = options.tree or kind_of(tree)
    asked = question or HostQuestion(options, (options.linux,))
    if kind == "host":
        # Imported here: a guest tree has no use for the mirrors of Xen, and start-up is most of a check's time.
        from dtanalyze.analysis.host import check_host

        return check_host(tree, path, asked)
    return tuple(check_guest(tree, path, options._replace(tree=kind, linux=linux)) for linux in asked.linux)


def in_file(original: bytes, results: tuple[CheckResult, ...]) -> tuple[CheckResult, ...]:
    """Return results of a tree that overlays were applied to with offsets into the file they were applied to.

    What only an overlay has gets none.
    """
    from dtanalyze.analysis.offsets import placed_in

    tree = parse(original)
    return tuple(result._replace(findings=placed_in(tree, result.findings)) for result in results)

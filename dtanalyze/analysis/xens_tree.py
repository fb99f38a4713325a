"""What to do about findings in a tree that Xen writes: nobody can edit it, so the host tree or Xen's line is named."""

from __future__ import annotations

from typing import Final

from dtanalyze.devicetree.tree import Tree
from dtanalyze.findings import Cure, Finding
from dtanalyze.rules.cures.command_line import line_cure
from dtanalyze.xen.command_line import xen_command_line
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.prediction import Prediction

__all__ = ["of_xen"]

_COVERS: Final = (
    "Xen makes this region. Correct the node in the host tree, so that Xen sees its range, or use a release that leaves the "
    "range out (`--xen all` tries them)."
)
_SIZED: Final = (
    "Leave it so, unless the domain needs more scratch space: Xen makes this region, and RAM, reservations and `dom0_mem=` "
    "decide where it begins and ends."
)
_OUTSIDE: Final = (
    "Leave it so, unless the domain needs more scratch space: Xen makes this region, and Linux uses the part that its "
    "linear map holds."
)
_NO_SECTION: Final = (
    "Lower `dom0_mem=` on Xen's command line: Xen makes the regions, of RAM too that dom0 leaves. Or add `ext_regions=0` "
    "to it, and Linux balloons."
)
_BY_XEN: Final = {
    **dict.fromkeys(("X01", "X02", "X03", "X04", "X05", "X06", "X07"), _COVERS),
    "X11": _NO_SECTION,
    "X12": _SIZED,
    **dict.fromkeys(("X13", "X14"), _OUTSIDE),
}
"""What to do on a host about regions that nobody but Xen can cut or move."""
_BLIND: Final = frozenset({"X33", "X34", "X35", "X36", "X41", "X45"})
"""Rules that say why Xen does not see what a node uses."""
_NO_REGION: Final = ("X33", "X34", "X42", "D12")
"""Rules that say why Xen finds no region."""
_OPTION: Final = "ext_regions"


def of_xen(finding: Finding, own: tuple[Finding, ...], prediction: Prediction, tree: Tree, options: XenOptions) -> Finding:
    """Return a finding of a tree that Xen writes as one for the host, whose own findings are ``own``.

    Where a rule says why Xen does not see the node, or finds no region, its cure is this one's too.
    """
    finding = finding.with_cures(())
    if finding.rule == "X22":
        return _without_regions(finding, own, prediction, tree, options)
    advice = _BY_XEN.get(finding.rule, finding.advice)
    if advice is _COVERS:
        why = next((item.advice for item in own if item.node == finding.node and item.rule in _BLIND), None)
        advice = f"Xen makes this region. {why}" if why else advice
    return finding._replace(advice=advice)


def _without_regions(
    finding: Finding, own: tuple[Finding, ...], prediction: Prediction, tree: Tree, options: XenOptions
) -> Finding:
    """Return X22 with its cause: the option, on the command line here or on Xen's, or what Xen's search found."""
    if options.ext_regions is False:
        return finding._replace(advice=f"Leave out `--no-ext-regions`, unless Xen's command line has `{_OPTION}=0`.")
    line = xen_command_line(tree)
    words = [word for word in line.text.split() if _is_the_option(word)]
    if words and prediction.method == "none":
        advice = f"Remove `{words[-1]}` from Xen's command line ({line.where})."
        return finding.with_cures((_cure(tree),))._replace(advice=advice)
    why = next((item.advice for code in _NO_REGION for item in own if item.rule == code), None)
    said = f" ({prediction.regions.message})" if prediction.regions.message else ""
    return finding._replace(advice=why or f"Run `dtanalyze predict --explain`: Xen finds no region{said}.")


def _cure(tree: Tree) -> Cure:
    return line_cure(tree, lambda words: [word for word in words if not _is_the_option(word)])


def _is_the_option(word: str) -> bool:
    return word.partition("=")[0].removeprefix("no-") == _OPTION

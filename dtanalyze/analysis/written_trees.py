"""Answers for the trees that Xen writes, each worked out once for each kernel, and no more of it than is asked.

What another start, size or setting of Xen comes to is asked of many trees: Linux boots on each. One of them is told, and
only there rules look.
"""

from __future__ import annotations

from typing import Final

from dtanalyze.analysis.guest import GuestBoot, boot_guest, booted_with, result_of
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.facts import Alternative, CheckResult
from dtanalyze.linux.boot import WORST_FIRST
from dtanalyze.linux.profile import LinuxProfile

__all__ = ["WrittenTrees"]

_KASLR_OPEN: Final = "KASLR: not known, a boot loader may add a kaslr-seed to /chosen (--kaslr or --no-kaslr settles it)"


class WrittenTrees:
    """What Linux makes of them; ``options`` but for the kernel and the kind of tree."""

    def __init__(self, path: str, options: CheckOptions) -> None:
        self._path = path
        self._options = options
        self._boots: dict[tuple[bytes, LinuxProfile, str], tuple[GuestBoot, ...]] = {}
        self._results: dict[tuple[bytes, LinuxProfile, str], CheckResult] = {}

    def ends(self, blob: bytes, linux: LinuxProfile, kind: str) -> tuple[Alternative, ...]:
        """Return how a boot on this tree ends: once, or without and with KASLR where that is open and makes a difference."""
        boots = self._booted(blob, linux, kind)
        found = tuple(Alternative(item.kaslr, item.answer.verdict, item.answer.sections) for item in boots)
        if len({(item.verdict, item.sections) for item in found}) > 1:
            return found
        return (found[0]._replace(kaslr=None if len(found) > 1 else found[0].kaslr),)

    def answer(self, blob: bytes, linux: LinuxProfile, kind: str) -> CheckResult:
        """Return all that is to be said of it; the worse answer, with both beside it, where `ends` are two."""
        key = (blob, linux, kind)
        if key not in self._results:
            self._results[key] = self._told(*key)
        return self._results[key]

    def _told(self, blob: bytes, linux: LinuxProfile, kind: str) -> CheckResult:
        boots = self._booted(blob, linux, kind)
        result = result_of(min(boots, key=lambda item: WORST_FIRST.index(item.answer.verdict)), self._path)
        if len(boots) == 1:
            return result
        assumed = tuple(_KASLR_OPEN if item.startswith("KASLR:") else item for item in result.assumed)
        ends = self.ends(blob, linux, kind)
        return result._replace(kaslr=None, alternatives=ends if len(ends) > 1 else (), assumed=assumed)

    def _booted(self, blob: bytes, linux: LinuxProfile, kind: str) -> tuple[GuestBoot, ...]:
        key = (blob, linux, kind)
        if key not in self._boots:
            tree = parse(blob)
            recorded = self._options.recorded if kind == "dom0" else None  # a record is of one boot: dom0's
            options = self._options._replace(linux=linux, tree=kind, memory=(), recorded=recorded)
            open_ = kind != "domu" and options.kaslr is None and not _settles_kaslr(tree)
            booted = boot_guest(tree, options._replace(kaslr=False) if open_ else options, written=True)
            # A boot loader may add a seed to the host tree, and Xen hands it on to dom0.
            self._boots[key] = (booted, booted_with(True, booted)) if open_ else (booted,)
        return self._boots[key]


def _settles_kaslr(tree: Tree) -> bool:
    chosen = tree.root.child("chosen")
    if chosen is None:
        return False
    bootargs = chosen.prop("bootargs")
    if bootargs is not None and "nokaslr" in (bootargs.string or "").split():
        return True
    return chosen.prop("kaslr-seed") is not None

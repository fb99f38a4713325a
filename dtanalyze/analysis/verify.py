"""A machine held against the prediction for it: the profile comes from the evidence, then each thing is compared once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from dtanalyze.address.range import ADDRESS_SPACE, AddressRange
from dtanalyze.address.rangeset import RangeSet
from dtanalyze.analysis.evidence_trees import Trees, partial_trees, sorted_trees
from dtanalyze.analysis.guest import check_guest, kind_of
from dtanalyze.analysis.host_ram import host_ram, tree_ram
from dtanalyze.analysis.machine import linux_comparisons, linux_of
from dtanalyze.analysis.observed import ram_listed, reach, regions, same_ram, shown, xen_line
from dtanalyze.analysis.pairing import newly_reserved, wrong_pairing
from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.analysis.written_tree import against_tree
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError
from dtanalyze.evidence.bundle import Bundle, version_of
from dtanalyze.evidence.xen_console import XenConsole
from dtanalyze.facts import Comparison
from dtanalyze.xen.boot_log import log_of
from dtanalyze.xen.build import BUILDS, DEFAULT
from dtanalyze.xen.command_line import xen_bootargs
from dtanalyze.xen.options import XenOptions, usable
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import PRESETS, XenProfile, preset, release_of

__all__ = ["Given", "Verified", "verify"]


_ANY_START: Final = "one of the places that concurrent scrubbing allows"
_OPEN_START: Final = "concurrent scrubbing decides, and this start was not among those computed"
_ANOTHER_SIZE: Final = "another dom0_mem than Xen was started with, or the model of Xen's allocator is wrong here"
_LINES_LOST: Final = "the log lacks lines of it"
_UNPLACED: Final = "where the boot loader put Xen, or the tree, is not known (--grant-table, --fdt-address)"
_OTHER_TREE: Final = "Xen was given another tree: the log names {node} (line {line}), which this one does not have"
_NO_RAM: Final = "the tree lists no RAM (--memory)"
_NO_RAM_THERE: Final = "{where} is no RAM in the tree: the boot loader changed the nodes, or the log is another board's"
_SHORT: Final = "Failed to allocate requested dom0 memory"


class Given(NamedTuple):
    """What the evidence cannot say, and the caller may: releases by name, and what ``XenOptions`` holds."""

    xen: str | None = None
    linux: str | None = None
    host: XenOptions = XenOptions()


class Verified(NamedTuple):
    """The comparisons, differences first, with what was taken for the profile. ``wrong_pairing`` is a sentence or empty."""

    profile: tuple[str, ...]
    wrong_pairing: str
    comparisons: tuple[Comparison, ...]

    @property
    def differences(self) -> tuple[Comparison, ...]:
        """What does not agree."""
        return tuple(item for item in self.comparisons if item.agrees is False)


def verify(bundle: Bundle, given: Given) -> Verified:
    """Return what agrees and what does not; raise `InputError` when the evidence holds nothing to compare."""
    trees = sorted_trees(bundle)
    if trees.host is None and trees.guest is None:
        raise InputError("the evidence holds no devicetree: name the board's, or the one in /sys/firmware/fdt")
    said = (bundle.xen, bundle.linux, bundle.iomem, bundle.iomem_after, bundle.memblock, bundle.cmdline, trees.guest)
    if all(item is None for item in said):
        raise InputError("the evidence holds nothing that a machine said: no Xen log, dmesg, /proc/iomem or guest tree")
    wrong = wrong_pairing(trees.host, trees.guest, bundle)
    profile: list[str] = []
    found: list[Comparison] = []
    written: Tree | None = None
    if trees.host is not None:
        release, guess = _release(bundle, given, trees.guest)
        made = _Host(trees.host[1], release, given.host, bundle, trees)
        profile += [*guess, *made.profile()]
        found += made.comparisons()
        dom0 = next((item for item in made.known if item.domain == "dom0"), None)
        if dom0 is not None and dom0.blob is not None and dom0.stopped_by is None:
            written = parse(dom0.blob)
        for item in trees.guests:
            native = kind_of(item[1]) == "host" and bundle.xen is None
            found += [_native(item[0])] if native else list(against_tree(made.known, item))
    guest = trees.guest[1] if trees.guest is not None else written
    if guest is not None and any(item is not None for item in said[1:6]):
        linux, notes = linux_of(bundle, given.linux)
        profile += notes
        found += linux_comparisons(guest, linux, bundle)
    ordered = sorted(found, key=lambda item: (item.agrees is not False, item.agrees is not None))
    return Verified(tuple(profile), wrong, tuple(ordered))


def _native(name: str) -> Comparison:
    return Comparison("the tree Xen writes", "one for each domain", "Linux ran without Xen", None, name)


def _release(bundle: Bundle, given: Given, guest: tuple[str, Tree] | None) -> tuple[XenProfile, tuple[str, ...]]:
    """Return the release that was named, printed, or written into the guest's tree, in this order, and if it is a guess."""
    told = _told_release(bundle, given, guest)
    if told is not None:
        return told, ()
    guess = release_of(None)
    return guess, (f"Xen {guess.name} is a guess: nothing in the evidence names the release (--xen)",)


def _told_release(bundle: Bundle, given: Given, guest: tuple[str, Tree] | None) -> XenProfile | None:
    if given.xen is not None:
        return preset(given.xen)
    logged = log_of(bundle.xen[1]).version if bundle.xen is not None else None
    if logged is not None:
        return release_of(logged)
    told = version_of(bundle.xl_info) if bundle.xl_info is not None else None
    if told is not None:
        return release_of(told)
    if bundle.linux is not None and bundle.linux[1].xen is not None:
        return release_of(bundle.linux[1].xen.value)
    if guest is not None:
        found = check_guest(guest[1], guest[0], CheckOptions()).xen
        return release_of(found) if found is not None else None
    return None


def _as_written(options: XenOptions, console: XenConsole, guest: tuple[str, Tree] | None) -> XenOptions:
    """Return the options with the grant table of dom0's own tree, where no log tells it: Xen's text, where it was loaded."""
    if options.grant_table is not None or console.grant_table is not None or guest is None or kind_of(guest[1]) != "dom0":
        return options
    table = check_guest(guest[1], guest[0], CheckOptions()).grant_table
    usable_ = table is not None and table.size > 0 and table.start + table.size <= ADDRESS_SPACE
    return options._replace(grant_table=AddressRange(table.start, table.size)) if table is not None and usable_ else options


def _total(banks: tuple[AddressRange, ...]) -> int:
    return sum(item.size for item in banks)


class _Host:
    """The board's tree through Xen, once with what the log settles and once without dom0's banks."""

    def __init__(
        self,
        tree: Tree,
        release: XenProfile,
        options: XenOptions,
        bundle: Bundle,
        trees: Trees,
    ) -> None:
        self.source, self.console = bundle.xen or ("", XenConsole())
        self.tree, self.release = tree, release
        self.total: tuple[str, ...] = ()
        log = log_of(self.console)
        self.listed = tree_ram(tree)
        self.ram = host_ram(tree, options.memory, self.console)
        firmware = bundle.linux[1].efi_ram if bundle.linux is not None and not self.listed else ()
        options = options._replace(log=log, memory=self.ram.memory or firmware)
        if self.console.package is not None and options.build == DEFAULT:
            # Debian's and Ubuntu's packages are built with upstream's defaults, and nothing that a tree asks for beside.
            options = options._replace(build=BUILDS["debian"])
        options = self._as_totalled(_as_written(options, self.console, trees.guest))
        self.options = usable(options._replace(partial_trees=(*options.partial_trees, *partial_trees(trees))))
        self.host = prepare(tree, self.options)
        self.started = prepare(tree, self.options._replace(log=None)).tree
        self.known = self._predicted(self.options)
        self.alone = self._predicted(self.options._replace(log=log._replace(dom0_banks=())))

    def _predicted(self, options: XenOptions, release: XenProfile | None = None) -> tuple[Prediction, ...]:
        return predict(self.host, release or self.release, options)

    def _as_totalled(self, options: XenOptions) -> XenOptions:
        """Return the options with the size that dom0 got, where neither the log nor the tree has Xen's command line."""
        lines = self.console.command_line is not None or options.efi_config is not None or xen_bootargs(self.tree)
        total = next((item for item in self.console.totals if item.value[0] == "d0"), None)
        if lines or options.dom0_mem is not None or total is None:
            return options
        size, line = total.value[1], total.line
        self.total = (f"dom0_mem: {size}M, as line {line} of the log has it: Xen's command line is not there",)
        return options._replace(dom0_mem=size << 20)

    def profile(self) -> list[str]:
        """Say what the prediction stands on."""
        assumed = dict.fromkeys((*self.total, *(note for item in self.known for note in item.assumed)))
        return [self.ram.refused, *assumed] if self.ram.refused else list(assumed)

    def comparisons(self) -> Iterator[Comparison]:
        """Yield what Xen printed against what is predicted."""
        ram = ram_listed(self.options.memory or self.listed, self.console, self.source)
        if ram is not None:
            yield ram
        line = xen_line(xen_bootargs(self.started), self.console, self.source)
        if line is not None:
            yield line
        if self.source:
            yield self._reach()
        yield from self._banks()
        for item in regions(self.known, self.console, self.source):
            yield item if item.agrees is not False else item._replace(cause=self._cause(item))

    def _reach(self) -> Comparison:
        """Compare how far Xen came; banks that are given would hide a stop over dom0's memory."""
        predicted = self.known if self.console.banks_of("d0") else self.alone
        item = reach(predicted, self.console, self.source)
        if item.agrees is not False:
            return item
        unknown = next((node for node in self.console.named if self.tree.find(node.value.rstrip(".,:")) is None), None)
        if unknown is not None and self.console.ended is not None:
            return item._replace(cause=_OTHER_TREE.format(line=unknown.line, node=unknown.value))
        others = next((one.others for one in predicted if one.domain == "dom0"), ())
        for start in others:
            other = reach((start, *predicted[1:]), self.console, self.source)
            if other.agrees:
                return other._replace(cause=start.when or _ANY_START)
        if self.console.banks_of("d0"):
            return item
        return item._replace(agrees=None, cause=_OPEN_START) if others else self._unplaced(item)

    def _unplaced(self, item: Comparison) -> Comparison:
        """Leave open how much dom0 lacks where it is not known which RAM Xen and the tree take: 4.17 does not say."""
        placed = (self.options.grant_table is not None or self.console.grant_table is not None) and self._tree_placed()
        both = _SHORT in item.predicted and _SHORT in item.seen
        if placed or not both:
            return item
        return item._replace(agrees=None, cause=_UNPLACED)

    def _tree_placed(self) -> bool:
        """Whether it is known where the boot loader put the tree."""
        return self.options.fdt_address is not None or any(
            item.value.kind == "Device Tree" for item in self.console.modules
        )

    def _banks(self) -> Iterator[Comparison]:
        seen = self.console.banks_of("d0")
        mine = next((item for item in self.alone if item.domain == "dom0"), None)
        if not seen or mine is None:
            return
        ram = self.options.memory or self.listed
        elsewhere = list(RangeSet(seen).difference(RangeSet(ram)))
        if elsewhere:
            line = self.console.banks[0].line
            agrees, cause = (False, _NO_RAM_THERE.format(where=shown(elsewhere))) if ram else (None, _NO_RAM)
            yield Comparison("dom0's RAM", shown(mine.memory), shown(seen), agrees, self.source, line, cause)
            return
        if not self.console.whole_banks_of("d0"):
            line = self.console.banks[0].line
            yield Comparison("dom0's RAM", shown(mine.memory), shown(seen), None, self.source, line, _LINES_LOST)
            return
        starts = (mine, *mine.others)
        same = any(same_ram(item.memory, seen) for item in starts)
        if all(_total(item.memory) != _total(seen) for item in starts):
            # Where things lie moves the banks; how much there is, only the command line and free RAM decide.
            line = self.console.banks[0].line
            yield Comparison("dom0's RAM", shown(mine.memory), shown(seen), False, self.source, line, _ANOTHER_SIZE)
            return
        line = self.console.banks[0].line
        known = self._tree_placed()
        cause = "" if same else "the model of Xen's allocator is wrong here"
        if not same and not known:
            cause = "where the boot loader put the tree is not known, and dom0's RAM goes round it (--fdt-address)"
        if len(starts) > 1:
            known, cause = same, _ANY_START if same else _OPEN_START
        agrees = None if not same and not known else same
        yield Comparison("dom0's RAM", shown(mine.memory), shown(seen), agrees, self.source, line, cause)

    def _cause(self, differing: Comparison) -> str:
        """Look for a setting with which the regions come out as printed, or for what shows that the tree was another."""
        if any(item.stopped_by is not None for item in self.known):
            return "Xen is predicted to stop before it writes them"
        for text, options, release in self._others():
            again = regions(self._predicted(options, release), self.console, self.source)
            if any(item.what == differing.what and item.agrees for item in again):
                return text
        added = newly_reserved(self.host.tree, self.console)
        if added:
            return f"the log reserves {shown(added)}, and the tree does not: firmware adds it, or Xen was given another tree"
        return "no setting known here gives them: a patched Xen, or the model is wrong"

    def _others(self) -> Iterator[tuple[str, XenOptions, XenProfile]]:
        iommu = self.known[0].iommu
        way = "off" if iommu else "on"
        yield (
            f"as with the IOMMU {way}: Xen went the other way than its log says, or a patch did",
            self.options._replace(iommu=not iommu),
            self.release,
        )
        for bits in (40, 44, 48):
            yield f"as with {bits} bits of guest physical address", self.options._replace(ipa_bits=bits), self.release
        for name, release in PRESETS.items():
            if name != self.release.name:
                yield f"as Xen {name} would do: a patch was backported, or is missing", self.options, release

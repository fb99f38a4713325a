"""The library: what the command line does, for a Python program or a notebook.

Everything that ``dtanalyze`` exports is here or a name from below. Like the command line it reads files; like it, one
question gives a tuple of results.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from dtanalyze import analysis, facts
from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import parse_range, parse_size
from dtanalyze.analysis.guest import kind_of
from dtanalyze.analysis.questions import CheckOptions, HostQuestion
from dtanalyze.causes import folded
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import InputError, InputFailure, UsageError
from dtanalyze.findings import Finding
from dtanalyze.inputs.files import Overlays, trees_in
from dtanalyze.linux.boot import WORST_FIRST, Verdict
from dtanalyze.linux.proc_iomem import read_proc_iomem
from dtanalyze.linux.profile import NEWEST, LinuxProfile, preset, preset_names
from dtanalyze.linux.unpopulated_alloc import MAX_REQUEST_PAGES
from dtanalyze.report import FORMATS, check_format
from dtanalyze.report.picture.html import picture_html
from dtanalyze.report.picture.scene import scene, title
from dtanalyze.report.whole import Report
from dtanalyze.version import __version__
from dtanalyze.xen.options import XenOptions, usable
from dtanalyze.xen.profile import presets, release_of

__all__ = ["Devicetree", "Predicted", "Predictions", "Result", "Results", "check", "linux_profile", "load", "predict"]

Source: TypeAlias = "str | os.PathLike[str] | bytes | Devicetree"
Kernels: TypeAlias = "str | LinuxProfile | Sequence[str | LinuxProfile]"
Kind: TypeAlias = Literal["host", "dom0", "domu"]


class Devicetree(NamedTuple):
    """A tree that was read: what it is called in reports, its bytes, and what they say.

    ``original`` are the bytes before overlays were applied; offsets in findings count in them. ``file`` is the file that
    the tree stands in, where the name says more than that.
    """

    name: str
    data: bytes
    original: bytes
    tree: Tree
    file: str

    def __repr__(self) -> str:
        """Name the tree; the whole of it would fill pages."""
        return f"<{self.kind} tree {self.name}, {len(self.data)} bytes>"

    @property
    def kind(self) -> str:
        """``host``, ``dom0`` or ``domu``: what it is taken for."""
        return kind_of(self.tree)


class Result(facts.CheckResult):
    """The answer for one domain, one kernel and one release; the fields are those of the JSON report."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Name the result; the whole of it would fill pages."""
        return f"<{title(self)}: {self.verdict.value}>"

    def __str__(self) -> str:
        """Return what ``dtanalyze check`` prints."""
        return Results((self,)).render()

    def _repr_html_(self) -> str:
        """Return the map, for a notebook."""
        return _pictures((self,))


class Results(tuple[Result, ...]):
    """The answers to one question: releases, kernels, IOMMU settings and domains, in the order of the command line."""

    __slots__ = ()

    @property
    def verdict(self) -> Verdict:
        """The worst of the verdicts."""
        return min((item.verdict for item in self), key=WORST_FIRST.index)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, each once, the most severe first."""
        return tuple(sorted(dict.fromkeys(found for item in self for found in item.findings), key=lambda it: it.sort_key))

    def render(self, format: str = "text") -> str:
        """Return what ``dtanalyze check --format`` prints; raise `UsageError` when there is no such format."""
        cells = {(item.xen, item.iommu, item.linux) for item in self}
        report = Report((tuple(self),), version=__version__, root=str(Path.cwd()), sweep=len(cells) > 1)
        return FORMATS[check_format(format, FORMATS)](report)

    def __str__(self) -> str:
        """Return what ``dtanalyze check`` prints."""
        return self.render()

    def _repr_html_(self) -> str:
        """Return the map, for a notebook; with several results it has a selector."""
        return _pictures(self)


class Predicted(facts.Predicted):
    """What Xen does for one domain, and what Linux does with the tree that Xen writes for it."""

    __slots__ = ()

    def __repr__(self) -> str:
        """Name the prediction; the whole of it would fill pages."""
        return f"<{title(self.host)}: {self.host.verdict.value}>"

    @property
    def result(self) -> Result:
        """The whole chain's answer."""
        return Result(*folded(self.host))

    @property
    def blob(self) -> bytes | None:
        """The tree that Xen writes, None when it writes none."""
        return self.prediction.blob

    def __str__(self) -> str:
        """Return what ``dtanalyze predict`` prints."""
        from dtanalyze.report.predict import predict_text

        return predict_text(self.host.path, self)

    def _repr_html_(self) -> str:
        """Return the map, for a notebook."""
        return _pictures((self.host,))


class Predictions(tuple[Predicted, ...]):
    """The predictions for one host tree, in the order of the command line."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return what ``dtanalyze predict`` prints."""
        return "\n".join(map(str, self))

    def _repr_html_(self) -> str:
        """Return the map, for a notebook; with several predictions it has a selector."""
        return _pictures(item.host for item in self)


def _pictures(results: Iterable[facts.CheckResult]) -> str:
    return picture_html(tuple(scene(item) for item in results), fragment=True)


def load(
    source: Source,
    *,
    name: str | None = None,
    member: str | None = None,
    overlays: Iterable[str | os.PathLike[str]] = (),
) -> Devicetree:
    """Read one tree: a path to a .dtb, FIT image, concatenation or .dts, or the bytes of one.

    ``member`` chooses a tree of a file that holds several (``fdt-1``, ``#2``); ``overlays`` are applied in order. Raises
    a `DtanalyzeError` for what is no tree and `OSError` for what cannot be read.
    """
    if isinstance(source, Devicetree):
        return source
    called = name or ("<bytes>" if isinstance(source, bytes) else os.fspath(source))
    data = source if isinstance(source, bytes) else Path(source).read_bytes()
    blobs = tuple((Path(item).name, Path(item).read_bytes()) for item in overlays)
    found = list(trees_in(called, data, Overlays(blobs) if blobs else None))
    inside = {_name_of(item): item for item in found}
    if member is not None or len(found) != 1:
        known = {key.removeprefix(f"{called}:").partition("+")[0]: key for key in inside}
        if member not in known:
            raise UsageError(f"{called} holds {len(found)} trees, choose one with member=: {', '.join(known)}")
        found = [inside[known[member]]]
    (chosen,) = found
    if isinstance(chosen, InputFailure):
        raise InputError(f"{chosen.path}: {chosen.message}")
    inner, blob, original = chosen
    return Devicetree(inner, blob, original, parse(blob), called)


def _name_of(item: tuple[str, bytes, bytes] | InputFailure) -> str:
    return item.path if isinstance(item, InputFailure) else item[0]


def linux_profile(name: str | None = None, *, kconfig: str | None = None) -> LinuxProfile:
    """Return a kernel by its preset's name, by the text of its .config, or both; default is the newest preset.

    Single behaviours are changed with ``_replace``. Raises `UsageError` or `InputError`.
    """
    if kconfig is None:
        return preset(name or NEWEST)
    from dtanalyze.linux.kconfig import profile_of

    return profile_of(kconfig, name)


def check(
    source: Source,
    *,
    linux: Kernels = NEWEST,
    xen: str | None = None,
    iommu: bool | Literal["both"] | None = None,
    tree: Kind | None = None,
    memory: Iterable[str | AddressRange] = (),
    kaslr: bool | None = None,
    requests: Iterable[int] = (),
    need: int | None = None,
    proc_iomem: str | None = None,
    dom0_mem: int | str | None = None,
    host: XenOptions | None = None,
) -> Results:
    """Tell which way the scratch-page allocation goes, as ``dtanalyze check`` does.

    ``linux`` and ``xen`` take names as on the command line (``"6.12"``, ``"4.18,4.20"``, ``"all"``); ``memory`` ranges as
    ``"0x40000000+2G"``; ``requests`` and ``need`` are pages; ``proc_iomem`` is the text of a recorded one; ``host`` holds
    what else is known of a host. Raises a `DtanalyzeError` for a wrong question or tree.
    """
    found = load(source)
    asked = _asked(linux, tree, memory, kaslr, requests, need, proc_iomem)
    question = _question(asked, linux, xen, iommu, dom0_mem, host)
    results = analysis.check(found.data, found.name, asked, question)
    if found.original is not found.data:
        results = analysis.in_file(found.original, results)
    file = "" if found.file == found.name else found.file
    return Results(Result(*folded(item._replace(file=file))) for item in results)


def predict(
    source: Source,
    *,
    linux: Kernels = NEWEST,
    xen: str | None = None,
    iommu: bool | Literal["both"] | None = None,
    memory: Iterable[str | AddressRange] = (),
    kaslr: bool | None = None,
    dom0_mem: int | str | None = None,
    host: XenOptions | None = None,
) -> Predictions:
    """Tell what Xen does with a board's own tree, as ``dtanalyze predict`` does; arguments as for `check`.

    Raises `InputError` for a tree that Xen has written already, and any other `DtanalyzeError` as `check` does.
    """
    from dtanalyze.analysis.host import predict_host

    found = load(source)
    asked = _asked(linux, None, memory, kaslr, (), None, None)
    question = _question(asked, linux, xen, iommu, dom0_mem, host)
    if found.kind != "host":
        raise InputError(f"{found.name}: it is a guest's tree, with a /hypervisor node: there is nothing to predict")
    return Predictions(Predicted(*item) for item in predict_host(found.tree, found.name, question))


def _kernels(linux: Kernels) -> tuple[LinuxProfile, ...]:
    if isinstance(linux, LinuxProfile):
        return (linux,)
    named: Iterable[str | LinuxProfile] = preset_names(linux) if isinstance(linux, str) else linux
    found = tuple(item if isinstance(item, LinuxProfile) else preset(item) for item in named)
    if not found:
        raise UsageError("no kernel is asked about: linux is empty")
    return found


def _asked(
    linux: Kernels,
    tree: Kind | None,
    memory: Iterable[str | AddressRange],
    kaslr: bool | None,
    requests: Iterable[int],
    need: int | None,
    proc_iomem: str | None,
) -> CheckOptions:
    if tree not in (None, "host", "dom0", "domu"):
        raise UsageError(f"tree is host, dom0 or domu, not '{tree}'")
    pages = tuple(requests)
    for count in pages:
        if not 0 < count <= MAX_REQUEST_PAGES:
            raise UsageError(f"a request is for 1 to {MAX_REQUEST_PAGES} pages, not {count}")
    return CheckOptions(
        linux=_kernels(linux)[0],
        tree=tree,
        kaslr=kaslr,
        memory=tuple(parse_range(item) if isinstance(item, str) else item for item in memory),
        requests=pages,
        need=need,
        recorded=read_proc_iomem(proc_iomem) if proc_iomem is not None else None,
    )


def _question(
    asked: CheckOptions,
    linux: Kernels,
    xen: str | None,
    iommu: bool | Literal["both"] | None,
    dom0_mem: int | str | None,
    host: XenOptions | None,
) -> HostQuestion:
    given = host or XenOptions()
    if dom0_mem is not None:
        given = given._replace(dom0_mem=parse_size(dom0_mem) if isinstance(dom0_mem, str) else dom0_mem)
    if not given.memory:
        given = given._replace(memory=asked.memory or (given.log.ram if given.log else ()))
    releases = presets(xen) if xen is not None else (release_of(given.log.version if given.log else None),)
    iommus = (False, True) if iommu == "both" else (given.iommu if iommu is None else iommu,)
    return HostQuestion(asked, _kernels(linux), releases, iommus, usable(given))

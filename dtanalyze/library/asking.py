"""The questions whose answer is a verdict: a tree read, checked, taken through Xen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from dtanalyze import analysis
from dtanalyze.causes import folded
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import InputError, InputFailure, UsageError
from dtanalyze.inputs.files import Found, ImageFile, content_of, trees_in
from dtanalyze.library.results import Devicetree, Predicted, Predictions, Result, Results, Source
from dtanalyze.library.words import Asked, PathWord, call_words, overlays_from, question_from
from dtanalyze.linux.profile import NEWEST, LinuxProfile, preset

__all__ = ["check", "checked", "linux_profile", "load", "predict"]


def load(
    source: Source,
    *,
    name: str | None = None,
    member: str | None = None,
    overlays: PathWord | Iterable[PathWord] = (),
) -> Devicetree:
    """Read one tree: a path to a .dtb, FIT image, concatenation or .dts, or the bytes of one.

    ``member`` chooses a tree of a file that holds several (``fdt-1``, ``#2``); ``overlays`` are applied in order. Raises
    a `DtanalyzeError` for what is no tree and `OSError` for what cannot be read.

    >>> load("fixtures/dtb/boots/01-dom0-x420-l612.dtb").kind
    'dom0'
    """
    if isinstance(source, Devicetree):
        return source
    if not isinstance(source, str | bytes | os.PathLike):
        raise UsageError(f"a tree is a path, bytes or what load() returns, not {source!r}")
    called = name or ("<bytes>" if isinstance(source, bytes) else os.fspath(source))
    data = source if isinstance(source, bytes) else _content(os.fspath(source))
    found = list(trees_in(called, data, overlays_from(overlays)))
    inside = {_name_of(item): item for item in found}
    if member is not None or len(found) != 1:
        known = {key.removeprefix(f"{called}:").partition("+")[0]: key for key in inside}
        if member not in known:
            raise UsageError(f"{called} holds {len(found)} trees, choose one with member=: {', '.join(known)}")
        found = [inside[known[member]]]
    (chosen,) = found
    if isinstance(chosen, InputFailure):
        raise InputError(f"{chosen.path}: {chosen.message}")
    return Devicetree(chosen.name, chosen.data, chosen.original, parse(chosen.data), called, chosen.places)


def _content(path: str) -> bytes | ImageFile:
    try:
        return content_of(path)
    except InputError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        raise InputError(f"{path}: {error}") from error


def _name_of(item: Found | InputFailure) -> str:
    return item.path if isinstance(item, InputFailure) else item.name


def linux_profile(name: str | None = None, *, kconfig: str | None = None) -> LinuxProfile:
    """Return a kernel by its preset's name, by the text of its .config, or both; default is the newest preset.

    Single behaviours are changed with ``_replace``. Raises `UsageError` or `InputError`.

    >>> linux_profile("6.12").page_size
    4096
    """
    if not isinstance(name, str | None):
        raise UsageError(f'a kernel is called "6.12" or the like, not {name!r}')
    if not isinstance(kconfig, str | None):
        raise UsageError(f"kconfig takes the text of a .config, not {type(kconfig).__name__}")
    if kconfig is None:
        return preset(name or NEWEST)
    from dtanalyze.linux.kconfig import profile_of

    return profile_of(kconfig, name)


def check(source: Source, **asked: Unpack[Asked]) -> Results:
    """Tell which way the scratch-page allocation goes, as ``dtanalyze check`` does; what is asked is written as there.

    ==================  =======================================================================================
    ``linux``, ``xen``  ``"6.12"``, ``"6.1,6.12"``, ``["6.1", "6.12"]``, ``"all"``; a kernel of `linux_profile`
    ``iommu``           ``"on"``, ``"off"``, ``"both"``, True, False
    ``memory``          ``"0x40000000+2G"``, or several; ``assume_memory="auto"`` where the tree lists none
    ``dom0_mem``        ``"1G"``, or bytes
    ``need``            ``"512M"``, or pages
    ``requests``        pages of each mapping, in order: ``[1, 65536]``
    ``kaslr``           ``"on"``, ``"off"``, True, False
    ``tree``            ``"host"``, ``"dom0"``, ``"domu"``
    ``proc_iomem``      the text of a recorded /proc/iomem
    ``host``            what else is known of Xen: `XenOptions`
    ==================  =======================================================================================

    Raises a `DtanalyzeError` for a wrong question or tree.

    >>> results = check("fixtures/dtb/boots/01-dom0-x420-l612.dtb", linux="6.12", need="512M")
    >>> results[0].verdict == "scratch", results[0].sections
    (True, 9)
    """
    return checked(load(source), asked)


def checked(found: Devicetree, asked: Mapping[str, Any]) -> Results:
    """Return the results for a tree that was read."""
    options, question = question_from(asked)
    results = analysis.check(found.data, found.name, options, question._replace(try_others=True))
    if found.places is not None:
        results = analysis.in_sources(found.data, found.places, results)
    if found.original is not found.data:
        results = analysis.in_file(found.original, results)
    file = "" if found.file == found.name else found.file
    made = Results(Result(*folded(item._replace(file=file))) for item in results)
    made.asked = call_words(asked)
    return made


def predict(source: Source, **asked: Unpack[Asked]) -> Predictions:
    """Tell what Xen does with a board's own tree, as ``dtanalyze predict`` does; arguments as for `check`.

    Raises `InputError` for a tree that Xen has written already, and any other `DtanalyzeError` as `check` does.

    >>> predict("fixtures/dtb/hosts/01-dom0-x420-l612.dtb", xen="4.20")[0].prediction.domain
    'dom0'
    """
    from dtanalyze.analysis.host import predict_host

    found = load(source)
    _, question = question_from(asked)
    if found.kind != "host":
        raise InputError(f"{found.name}: it is a guest's tree, with a /hypervisor node: there is nothing to predict")
    return Predictions(Predicted(*item) for item in predict_host(found.tree, found.name, question))

"""One case from its lines to its record, and what ``verify`` says of it."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Final

from dtanalyze.address.units import parse_range
from dtanalyze.analysis.verify import Given, Verified, verify
from dtanalyze.devicetree.blob import parse
from dtanalyze.evidence.bundle import Bundle, Item, gathered
from dtanalyze.xen.options import XenOptions
from lab.case import Case
from lab.host_tree import grant_table, host_tree, images_of
from lab.initramfs import compiled_trigger, initramfs
from lab.kernel_image import EMPTY_IMAGE
from lab.machine import Machine, Started, boot, dump_tree
from lab.packages import Cache
from lab.record import record_of, write_record
from lab.releases import LinuxBuild, XenBuild, busybox, linux_build, xen_image

__all__ = ["Lab", "as_printed", "start_tree"]

_TREE_OF_DOM0: Final = re.compile(r"Loading d0 DTB to 0x([0-9a-f]+)-0x([0-9a-f]+)")
_LINUX_DONE: Final = re.compile(rb"@@lab end|\(XEN\).*Panic on CPU|Kernel panic")
_LARGEST_TREE: Final = 2 << 20
_TREE_ROOM: Final = 64 * 1024
_EVIDENCE: Final = ("host.dtb", "guest.dtb", "xen.txt", "dmesg.txt", "iomem-before.txt", "iomem-after.txt", "config")


class Lab:
    """Packages at hand, and a folder of records."""

    def __init__(self, cache_folder: Path, out: Path) -> None:
        self._cache = Cache(cache_folder)
        self.out = out
        self._xen = cache(lambda wanted: xen_image(self._cache, wanted))
        self._linux = cache(lambda wanted: linux_build(self._cache, wanted))

    def done(self, case: Case) -> bool:
        """Tell whether this very case is recorded: what its lines say is kept beside the record."""
        kept = self.out / case.name / "case.txt"
        return kept.is_file() and kept.read_text() == repr(case) and (self.out / case.name / "case.json").is_file()

    def run(self, case: Case) -> float:
        """Boot a case and write its record; return the seconds that the machine ran."""
        xen: XenBuild = self._xen(case.xen)
        linux: LinuxBuild | None = self._linux(case.linux) if case.linux is not None else None
        kernel = linux.image if linux is not None else EMPTY_IMAGE
        ramdisk = self._ramdisk(linux) if linux is not None else b""
        if linux is not None:
            case = case._replace(linux_options=f"{case.linux_options} labsteps={','.join(case.requests)}".strip())
        placed = case.placed(tree=_TREE_ROOM, kernel=len(kernel), ramdisk=len(ramdisk))
        host = host_tree(dump_tree(case.board, case.cpu, case.cpus, case.ram_mib), case, placed)
        machine = Machine(
            case.board, case.cpu, case.cpus, case.ram_mib, placed.xen, placed.tree, ((placed.xen, xen.image),), placed.stub
        )
        content = {"kernel": kernel, "ramdisk": ramdisk}
        started = start_tree(machine, host, content, linux=linux is not None)
        versions = {"xen": xen.package.version, "linux": linux.package.version if linux is not None else None}
        recorded = record_of(case, versions, host, started.console, started.memory.get("guest.dtb"))
        if linux is not None:
            recorded.files["config"] = linux.config.encode()
        grant = grant_table(parse(host), placed.xen)
        places = {"--fdt-address": f"{placed.tree:#x}", "--grant-table": f"{grant.start:#x}-{grant.stop:#x}"}
        recorded.record["options"] = [word for item in places.items() for word in item]
        write_record(self.out / case.name, recorded)
        return started.seconds

    def remember(self, case: Case) -> None:
        """Note that this case is done as its lines say."""
        (self.out / case.name / "case.txt").write_text(repr(case))

    def verified(self, case: Case) -> Verified:
        """Return what ``verify`` says of a recorded case, from its files."""
        folder = self.out / case.name
        record = json.loads((folder / "case.json").read_text())
        items = [_item(folder / name) for name in _EVIDENCE if (folder / name).exists()]
        said = dict(zip(record["options"][::2], record["options"][1::2], strict=True))
        grant = said.get("--grant-table")
        known = XenOptions(
            fdt_address=int(said["--fdt-address"], 16), grant_table=parse_range(grant) if grant is not None else None
        )
        bundle = gathered(items)
        return verify(bundle, Given(None, None, as_printed(known, bundle)))

    def _ramdisk(self, linux: LinuxBuild) -> bytes:
        shift = 14 if "16k" in linux.package.name else 12
        return initramfs(busybox(self._cache), compiled_trigger(shift), linux.modules)


def as_printed(known: XenOptions, bundle: Bundle) -> XenOptions:
    """Return what is known of a boot; the grant table as Xen printed it, since only Xen knows its text, which bounds it."""
    printed = bundle.xen is not None and bundle.xen[1].grant_table is not None
    return known._replace(grant_table=None) if printed else known


def _item(path: Path) -> Item:
    return Item(path.name, lambda: path.open("rb"))


def start_tree(
    machine: Machine, blob: bytes, content: dict[str, bytes], timeout: float = 30.0, *, linux: bool = False
) -> Started:
    """Boot ``machine`` with ``blob`` as its tree: each module that it names gets ``content`` by kind or by path.

    A kernel without content is an empty image, so that Xen alone is looked at; any other module is zeros, as RAM is, and not
    laid into it: it may lie over QEMU's own tree.
    """
    images = {**dict(machine.images), machine.tree: blob}
    for image in images_of(parse(blob)):
        data = content.get(image.path, content.get(image.kind, EMPTY_IMAGE if image.kind == "kernel" else b""))
        if data:
            images.setdefault(image.address, data)
    ready = machine._replace(images=tuple(images.items()))
    if linux:
        return boot(ready, done=_LINUX_DONE, timeout=600, silence=120, wanted=_tree_of_dom0)
    return boot(ready, timeout=timeout, wanted=_tree_of_dom0)


def _tree_of_dom0(console: str) -> dict[str, tuple[int, int]]:
    """Return where Xen put the tree that it wrote for dom0, whose addresses are the machine's own."""
    found = _TREE_OF_DOM0.search(console)
    if found is None or "@@lab" in console:
        return {}
    start, stop = int(found[1], 16), int(found[2], 16)
    return {"guest.dtb": (start, min(stop - start, _LARGEST_TREE))}

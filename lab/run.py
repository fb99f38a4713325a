"""One case from its lines to its record."""

from __future__ import annotations

import re
from typing import Final

from dtanalyze.devicetree.blob import parse
from lab.case import Case, Placed
from lab.host_tree import host_tree, images_of
from lab.kernel_image import EMPTY_IMAGE
from lab.machine import Machine, Started, boot, dump_tree

__all__ = ["start_tree", "tree_of"]

_TREE_OF_DOM0: Final = re.compile(r"Loading d0 DTB to 0x([0-9a-f]+)-0x([0-9a-f]+)")
_LARGEST_TREE: Final = 2 << 20


def tree_of(case: Case, kernel: int, ramdisk: int) -> tuple[bytes, Placed]:
    """Return the tree of a case and where things lie; ``kernel`` and ``ramdisk`` are sizes in bytes."""
    placed = case.placed(tree=64 * 1024, kernel=kernel, ramdisk=ramdisk)
    board = dump_tree(case.board, case.cpu, case.cpus, case.ram_mib)
    return host_tree(board, case, placed), placed


def start_tree(machine: Machine, blob: bytes, content: dict[str, bytes], timeout: float = 30.0) -> Started:
    """Boot ``machine`` with ``blob`` as its tree: each module that it names gets ``content`` by kind or by path.

    A kernel without content is an empty image, so that Xen alone is looked at; any other module is zeros.
    """
    images = {**dict(machine.images), machine.tree: blob}
    for image in images_of(parse(blob)):
        default = EMPTY_IMAGE if image.kind == "kernel" else b"\0" * min(image.size, 4096)
        data = content.get(image.path, content.get(image.kind, default))
        images.setdefault(image.address, data)
    return boot(machine._replace(images=tuple(images.items())), timeout=timeout, wanted=_tree_of_dom0)


def _tree_of_dom0(console: str) -> dict[str, tuple[int, int]]:
    """Return where Xen put the tree that it wrote for dom0, whose addresses are the machine's own."""
    found = _TREE_OF_DOM0.search(console)
    if found is None:
        return {}
    start, stop = int(found[1], 16), int(found[2], 16)
    return {"guest.dtb": (start, min(stop - start, _LARGEST_TREE))}

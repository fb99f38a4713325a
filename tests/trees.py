"""Address lines and small trees, drawn and written by hand, for every test.

``strip("##..####")`` reads ranges off a drawing; ``dtb("soc { … };")`` makes a blob from DTS text and ``tree`` reads it.
Malformed blobs are made in ``tests.raw_blobs``, since the ``fdt`` package writes good ones only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import fdt

from dtanalyze.address.range import AddressRange
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node, Tree


def strip(drawing: str, unit: int = 1, start: int = 0, mark: str = "#") -> list[AddressRange]:
    """Return the maximal runs of ``mark`` on an address line; each character is ``unit`` bytes, blanks do not count.

    ``strip("##..#", 0x1000)`` is 0x0-0x1fff and 0x4000-0x4fff.
    """
    line = re.sub(r"\s", "", drawing)
    return [AddressRange(start + run.start() * unit, len(run[0]) * unit) for run in re.finditer(f"{re.escape(mark)}+", line)]


def dtb(body: str = "", reservations: Sequence[tuple[int, int]] = (), boot_cpuid: int = 0) -> bytes:
    """Return the blob, version 17, of ``/ { body };`` and these reservations (start, size).

    DTS as the ``fdt`` package reads it: cells ``<0x1 2>``, strings, bytes ``[0a 0b]``, ``name;``. No ``;``, ``{`` or
    ``//`` inside strings, no empty strings (write ``[00]``), no overlays, no ``&references``.
    """
    lines = re.sub(r"([;{])\s*", r"\1\n", body)  # the package wants a statement a line
    made = fdt.parse_dts("/dts-v1/;\n/ {\n" + lines + "\n};\n")
    # A list of its own: the package's default is shared by all trees of a process.
    made.entries = [{"address": begin, "size": size} for begin, size in reservations]
    return bytes(made.to_dtb(version=17, last_comp_version=16, boot_cpuid_phys=boot_cpuid))


def tree(body: str = "", reservations: Sequence[tuple[int, int]] = ()) -> Tree:
    """Return the parsed tree of ``/ { body };``."""
    return parse(dtb(body, reservations))


def node(of: Tree, path: str) -> Node:
    """Return the node at ``path``, which must exist."""
    found = of.find(path)
    assert found is not None, f"{path} is not in the tree"
    return found

"""Small trees for these tests, from DTS text through the ``fdt`` package."""

from __future__ import annotations

import re

import fdt

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree


def blob(body: str, reservations: tuple[tuple[int, int], ...] = ()) -> bytes:
    """Return the blob of ``/ { body };``."""
    # The package's parser wants a statement a line.
    lines = re.sub(r"([;{])\s*", r"\1\n", body)
    tree = fdt.parse_dts("/dts-v1/;\n/ {\n" + lines + "\n};\n")
    # A list of its own: the package shares its default between all trees.
    tree.entries = [{"address": start, "size": size} for start, size in reservations]
    return bytes(tree.to_dtb(version=17))


def host(body: str, reservations: tuple[tuple[int, int], ...] = ()) -> Tree:
    """Return a tree with two cells each at the root, a CPU of 40 bits and 1 GiB of RAM at 0x40000000."""
    return parse(blob(HEAD + body, reservations))


HEAD = """
#address-cells = <2>;
#size-cells = <2>;
cpus { #address-cells = <1>; #size-cells = <0>;
    cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; };
    cpu@1 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <1>; };
};
memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
"""

"""The machine that Xen is booted on, as all its releases find it. Data only."""

from typing import NamedTuple

from dtanalyze.devicetree.tree import Tree
from dtanalyze.xen.efi_config import EfiConfig
from dtanalyze.xen.parse_params import XenArgs

__all__ = ["Host"]


class Host(NamedTuple):
    """What all releases share: the tree with its RAM filled in, and Xen's arguments.

    ``efi`` is what Xen's EFI loader reads, None where it reads no configuration file.
    """

    tree: Tree
    args: XenArgs
    efi: EfiConfig | None = None

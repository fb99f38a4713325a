"""How Xen reads a property of the unflattened tree.

Mirrors dt_property_read_string and dt_device_is_available (common/device-tree/device-tree.c; up to 4.19
common/device_tree.c).
"""

from typing import Final

from dtanalyze.devicetree.tree import Node

__all__ = ["EILSEQ", "EINVAL", "ENODATA", "dt_device_is_available", "dt_property_read_string"]

EINVAL: Final = -22
EILSEQ: Final = -84
ENODATA: Final = -61


def dt_property_read_string(node: Node, name: str) -> str | int:
    """Return the first string of a property, else why there is none.

    ``EINVAL`` is no property, ``ENODATA`` an empty one, ``EILSEQ`` one without a NUL. A value that begins with a NUL, as the
    number 1 does, is an empty string.
    """
    prop = node.prop(name)
    if prop is None:
        return EINVAL
    if not prop.value:
        return ENODATA
    text, nul, _ = prop.value.partition(b"\0")
    return text.decode("ascii", "surrogateescape") if nul else EILSEQ


def dt_device_is_available(node: Node) -> bool:
    """Tell whether ``status`` is absent, ``okay`` or ``ok``.

    One without a NUL counts: in the blob a zero byte follows it.
    """
    prop = node.prop("status")
    return prop is None or prop.value.partition(b"\0")[0] in (b"okay", b"ok")

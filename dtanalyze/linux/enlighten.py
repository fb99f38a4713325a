"""How Linux finds Xen and builds xen_resource.

Mirrors arch/arm/xen/enlighten.c: fdt_find_hyper_node, xen_early_init, xen_dt_guest_init and
arch_xen_unpopulated_init, with the error words of drivers/of/address.c below them. Left out: ACPI, event channels,
everything that needs a hypercall.
"""

from typing import Final, NamedTuple

from dtanalyze.address.range import RawRange
from dtanalyze.board.model import Board
from dtanalyze.board.translate import RegEntry, Untranslatable, reg_entries
from dtanalyze.devicetree.tree import Node
from dtanalyze.linux.memory_hotplug import PluggableRange
from dtanalyze.linux.profile import LinuxProfile
from dtanalyze.linux.resource import IORESOURCE_END, Resource

__all__ = [
    "EXT_REGION_INDEX",
    "GRANT_TABLE_INDEX",
    "Detection",
    "XenInit",
    "arch_xen_unpopulated_init",
    "decode_regions",
    "find_xen_node",
    "xen_early_init",
]

GRANT_TABLE_INDEX: Final = 0
EXT_REGION_INDEX: Final = 1
_PREFIX: Final = b"xen,xen-"


class Detection(NamedTuple):
    """Whether the kernel believes it runs on Xen, the version it read, and why not."""

    found: bool
    version: str | None
    reason: str


class XenInit(NamedTuple):
    """What arch_xen_unpopulated_init returns: the resource, or an error with what it prints and why it fails."""

    resource: Resource | None
    error: str | None
    messages: tuple[str, ...]
    reason: str


def xen_early_init(board: Board, profile: LinuxProfile) -> Detection:
    """Scan the flat tree for a child of the root called exactly ``hypervisor``, as the kernel does before all else."""
    if profile.without_xen:
        return Detection(False, None, profile.without_xen)
    found, version = False, None
    candidates = [node for node in board.tree.root.children if node.name == "hypervisor"]
    for node in candidates:
        prop = node.prop("compatible")
        if prop is None:
            if profile.null_compatible_crashes:
                reason = (
                    f"{node.path} has no compatible: this kernel reads through a NULL pointer there and dies in early boot"
                )
                return Detection(False, None, reason)
            continue
        found = found or node.is_compatible("xen,xen")
        # The kernels that read through NULL here also take a string that nothing terminates (f45ab27774aa).
        readable = profile.null_compatible_crashes or b"\0" in prop.value
        if readable and len(prop.value) > len(_PREFIX) + 3 and prop.value.startswith(_PREFIX):
            version = prop.value[len(_PREFIX) :].split(b"\0")[0].decode("ascii", "backslashreplace")
    if found and version is not None:
        return Detection(True, version, f"Xen {version} support found")
    return Detection(False, None, _undetected(board, candidates, found=found))


def _undetected(board: Board, candidates: list[Node], *, found: bool) -> str:
    if found:
        return "the first string of /hypervisor's compatible is not xen,xen-VERSION (the kernel says: Xen version not found)"
    if candidates:
        return "/hypervisor is not compatible with xen,xen (the kernel says: No Xen support)"
    elsewhere = find_xen_node(board)
    if elsewhere is not None:
        return (
            f"{elsewhere.path} is compatible with xen,xen, but the kernel looks only for a node called exactly /hypervisor"
        )
    return "the tree has no /hypervisor node, so the kernel does not see Xen"


def find_xen_node(board: Board) -> Node | None:
    """Return the first node in document order compatible with ``xen,xen`` (of_find_compatible_node), status ignored."""
    return next((node for node in board.hypervisors if node.is_compatible("xen,xen")), None)


def decode_regions(node: Node, board: Board) -> tuple[RegEntry, ...]:
    """Return the entries of the hypervisor node's ``reg`` that of_get_address finds: the grant table, then the regions."""
    return tuple(reg_entries(node, board.rules))


def _resource_end(raw: RawRange, profile: LinuxProfile) -> int | None:
    """Return the inclusive end that __of_address_to_resource computes, None for -EOVERFLOW.

    Size zero gives ``start - 1``, which wraps to the end of the space for a start of zero.
    """
    end = raw.start + raw.size - 1
    if end > IORESOURCE_END and profile.reg_overflow_is_error:
        return None
    return end & IORESOURCE_END


def arch_xen_unpopulated_init(board: Board, profile: LinuxProfile, limits: PluggableRange | None) -> XenInit:
    """Build xen_resource from ``reg[1..]``; one bad entry discards them all.

    ``limits`` is needed by the kernels that clip here (V2); with None nothing is clipped.
    """

    def fail(error: str, reason: str, *messages: str) -> XenInit:
        return XenInit(None, error, messages, reason)

    node = find_xen_node(board)
    if node is None:
        return fail("ENODEV", "no node is compatible with xen,xen")
    entries = decode_regions(node, board)[EXT_REGION_INDEX:]
    if not entries:
        return fail("EINVAL", f"{node.path} lists no extended region", "No extended regions are found")
    bounds: list[tuple[int, int]] = []
    for entry in entries:
        if isinstance(entry.where, Untranslatable):
            return fail("EINVAL", f"extended region {entry.nth - 1} has no address: {entry.where.reason}")
        raw = RawRange(entry.where.address, entry.size)
        end = _resource_end(raw, profile)
        if end is None:
            return fail("EOVERFLOW", f"extended region {entry.nth - 1} ({raw.start:#x}+{raw.size:#x}) ends beyond 2^64")
        bounds.append((raw.start, end))
    return _link_regions(bounds, profile, limits)


def _link_regions(bounds: list[tuple[int, int]], profile: LinuxProfile, limits: PluggableRange | None) -> XenInit:
    """Span xen_resource over all regions and block the holes between them."""
    clip_low, clip_high = 0, IORESOURCE_END
    if not profile.pluggable_range_in_fill_list and limits is not None:
        clip_low, clip_high = limits.low, limits.high
    root = Resource(
        "Xen unused space",
        max(min(start for start, _ in bounds), clip_low),
        min(max(end for _, end in bounds), clip_high),
    )
    for index, ((_, before), (start, end)) in enumerate(zip(bounds, bounds[1:], strict=False), 1):
        hole_start = (before + 1) & IORESOURCE_END
        if hole_start > start:
            reason = (
                f"extended region {index} ({start:#x}-{end:#x}) begins before region {index - 1} ends ({before:#x}): "
                "regions must ascend and may not overlap, and nothing in the kernel's log says so"
            )
            return XenInit(None, "EINVAL", (), reason)
        hole_low, hole_high = max(hole_start, clip_low), min(start - 1, clip_high)
        if hole_start == start or hole_low > hole_high:
            continue
        hole = Resource("Unavailable space", hole_low, hole_high)
        if root.insert_resource(hole) is not None:
            message = f"Cannot insert resource {hole.printed(memory=False)} (-16)"
            if profile.prints_bare_addresses:
                message = f"Cannot insert resource [{hole.start:x} - {hole.end:x}] -16"
            return XenInit(None, "EBUSY", (message,), "a hole between two extended regions does not fit into xen_resource")
    return XenInit(root, None, (), f"{len(bounds)} extended region{'s' if len(bounds) > 1 else ''}")

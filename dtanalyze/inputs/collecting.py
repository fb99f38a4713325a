"""One archive for a bug report, from what a running dom0 tells by plain file reads, without what is nobody's business.

Only `evidence_files.LIVE` and files that were named are read. Nothing is run, nothing but the archive is written.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node
from dtanalyze.devicetree.write import set_property, to_blob
from dtanalyze.errors import BlobError, InputError
from dtanalyze.evidence.bundle import Item

__all__ = ["Taken", "cleared", "collected", "written"]

_MOST: Final = 1 << 26
_TREE: Final = b"\xd0\x0d\xfe\xed"
_GZIP: Final = b"\x1f\x8b"
_SECRET: Final = re.compile(
    r"seed$|serial|mac-address|^address-bits-mac|password|passwd|secret|key$|keys$|uuid|token|board-id|system-id|asset", re.I
)
"""Properties by name whose values tell a board or its owner from others."""
_PUBLIC: Final = frozenset({"linux,keycodes", "gpio-keys"})
_TEXT_RULES: Final = (
    (re.compile(r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b", re.I), "MAC addresses"),
    (re.compile(r"(?<=serial=)\S+|(?<=serialno=)\S+|(?<=Serial Number: )\S+", re.I), "serial numbers"),
    (re.compile(r"(?<=password=)\S+|(?<=passwd=)\S+|(?<=token=)\S+|(?<=secret=)\S+|(?<=key=)\S+", re.I), "keys"),
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.I), "UUIDs"),
    (re.compile(r"(?<=/home/)[^/\s]+"), "names of users"),
    (re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]*[a-z]{2,}\b(?=[)>\s,])", re.I), "mail addresses"),
    (re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b(?=[:/\s,]|$)"), "IPv4 addresses"),
)


class Taken(NamedTuple):
    """One file of the archive: its name there, its bytes, where it comes from, and what was removed from it."""

    name: str
    data: bytes
    source: str
    removed: tuple[str, ...]


def collected(items: Iterable[Item]) -> Iterator[Taken]:
    """Yield each file as it goes into the archive; raise `InputError` for one that is too large or cannot be read."""
    names: set[str] = set()
    for item in items:
        try:
            with item.open() as stream:
                data = stream.read(_MOST + 1)
        except OSError as error:
            raise InputError(f"{item.name}: {error.strerror or error}") from error
        if len(data) > _MOST:
            raise InputError(f"{item.name}: it has more than {_MOST >> 20} MiB; cut it to one boot")
        name = PurePosixPath(item.name).name or "file"
        while name in names:
            name = f"{name}_"
        names.add(name)
        yield Taken(name, *_cleared(data, item.name))


def _cleared(data: bytes, source: str) -> tuple[bytes, str, tuple[str, ...]]:
    clean, removed = cleared(data, source)
    return clean, source, removed


def cleared(data: bytes, source: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the content without what tells a board or its owner from others, and what that was."""
    if data.startswith(_TREE):
        return _cleared_tree(data, source)
    if data.startswith(_GZIP):
        return data, ()  # /proc/config.gz: a configuration, the same for every board of its kind
    text = data.decode("utf-8", "replace")
    removed = []
    for pattern, what in _TEXT_RULES:
        text, count = pattern.subn("REMOVED", text)
        if count:
            removed.append(f"{count} {what}")
    return (text.encode() if removed else data), tuple(removed)


def _cleared_tree(data: bytes, source: str) -> tuple[bytes, tuple[str, ...]]:
    """Return the tree with secret values as zeros of the same length, so that nothing else moves."""
    try:
        tree = parse(data)
    except BlobError as error:
        raise InputError(f"{source}: {error}") from error
    removed = []
    for node in tree.root:
        for name in [name for name in node.properties if _SECRET.search(name) and name not in _PUBLIC]:
            value = node.properties[name].value
            if value.strip(b"\0"):
                set_property(node, name, b"\0" * len(value))
                removed.append(f"{node.path}:{name}")
        removed += list(_cleared_arguments(node))
    if not removed:
        return data, ()
    return to_blob(tree.root, [raw for raw, _ in tree.reservations], tree.boot_cpuid), tuple(removed)


def _cleared_arguments(node: Node) -> Iterator[str]:
    """Clear what stands in command lines; their words about memory and console stay."""
    for name in ("bootargs", "xen,xen-bootargs", "xen,dom0-bootargs"):
        prop = node.properties.get(name)
        if prop is None:
            continue
        text = prop.value.decode("utf-8", "surrogateescape")
        for pattern, _ in _TEXT_RULES:
            text = pattern.sub("REMOVED", text)
        value = text.encode("utf-8", "surrogateescape")
        if value != prop.value:
            set_property(node, name, value)
            yield f"{node.path}:{name}"


def written(path: Path, taken: Iterable[Taken], version: str) -> None:
    """Write the archive, which must not exist: the files and a list of what was taken and removed."""
    listed = list(taken)
    lines = [f"dtanalyze {version}", ""]
    for item in listed:
        lines.append(f"{item.name}: {item.source}, {len(item.data)} bytes")
        lines += [f"    removed: {what}" for what in item.removed]
    members = [*((item.name, item.data) for item in listed), ("MANIFEST.txt", ("\n".join(lines) + "\n").encode())]
    try:
        with path.open("xb") as stream, tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name, data in members:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    except FileExistsError:
        raise InputError(f"{path}: it is there already") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error

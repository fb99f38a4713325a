"""One archive for a bug report, from what a running dom0 tells by plain file reads, without what is nobody's business.

Only `evidence_files.LIVE` and files that were named are read. Nothing is run, nothing but the archive is written.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NamedTuple

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Node
from dtanalyze.devicetree.wrappers import described
from dtanalyze.devicetree.write import set_property, to_blob
from dtanalyze.errors import BlobError, InputError, InputFailure
from dtanalyze.evidence.bundle import Item

__all__ = ["Taken", "cleared", "collected", "written"]

_MOST: Final = 1 << 26
_TREE: Final = b"\xd0\x0d\xfe\xed"
_MANIFEST: Final = "MANIFEST.txt"
_UNSAFE: Final = re.compile(r"^\.+|[^A-Za-z0-9_.+-]")
"""What no file in the archive is called by: it may be unpacked by hand, and names come from strangers."""
_OPTION: Final = re.compile(rb"#|CONFIG_\w+=")
_SECRET: Final = re.compile(
    r"seed$|serial|mac-?addr|ethaddr|^address-bits-mac|hostname|password|passwd|secret|key$|keys$|uuid|token|board-id|"
    r"system-id|asset",
    re.I,
)
"""Properties by name whose values tell a board or its owner from others."""
_PUBLIC: Final = frozenset({"linux,keycodes", "gpio-keys"})
_TEXT_RULES: Final = tuple(
    (re.compile(pattern, re.I | re.M), what)
    for pattern, what in (
        (r"\b[0-9a-f]{2}(?:([:-])[0-9a-f]{2})(?:\1[0-9a-f]{2}){4}\b", "MAC addresses"),
        (r"(?P<keep>serial(?:no)?=|Serial ?Number: |^Serial\s*: )\S+", "serial numbers"),
        (r"(?P<keep>(?:password|passwd|pass|psk|token|secret|key)=)\S+", "keys"),
        (r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b[0-9a-f]{32}\b|(?P<keep>PARTUUID=)\S+", "UUIDs"),
        (r"(?P<keep>/(?:home|Users|media|run/user)/)[^/\s]+|(?P<user> (?:of|for) user )[\w.-]+", "names of users"),
        # Who built a kernel or Xen; each part is taken whole and never given back, else a line of a megabyte takes hours.
        (r"(?P<keep>\()[\w.+-]++@[\w.\[\]-]*+(?=\))", "names of users"),
        (r"(?<![\w.+-])[\w.+-]++@[\w-]++\.[\w.-]*+(?<=[a-z]{2})(?=[)>\s,])", "mail addresses"),
        (r"(?<![\w.+-])[\w.+-]++@[\w.-]++(?=:[^\s#$]{1,200}[#$])", "shell prompts"),
        (
            r"(?P<keep>^(?:[a-z]{3} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT[\d:.,+-]{8,24}|\[ *\d+\.\d{6}\]) )"
            r"[\w.-]++(?= (?:kernel|[\w.-]++\[\d+\]): )",
            "host names",
        ),
        (r"(?P<keep>\b(?:ip|nfsroot|nfsaddrs)=)\S+", "network settings"),
        (r"(?P<keep>hostname(?:=|: | to ))<?[\w.-]++>?|(?P<host>^host +: )\S+", "host names"),
        (r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)", "IPv4 addresses"),
        (
            r"(?<![\w:.])(?:[0-9a-f]{1,4}(?::[0-9a-f]{1,4}){7}|(?:[0-9a-f]{1,4}:){1,6}(?::[0-9a-f]{1,4}){1,6}|"
            r"(?:[0-9a-f]{1,4}:){2,7}:)(?![\w:.])",
            "IPv6 addresses",
        ),
    )
)
"""What is taken out of text; a group of a name is what stands before it and stays."""
_OF_THE_SYSTEM: Final = ("/proc/", "/sys/", "/dev/", "/boot/", "/var/log/xen/")
"""Where every system has the same names: a path that somebody named may tell who it was."""
_PACKED: Final = (".gz", ".xz", ".bz2")


class Taken(NamedTuple):
    """One file of the archive: its name there, its bytes, where it comes from, and what was removed from it."""

    name: str
    data: bytes
    source: str
    removed: tuple[str, ...]


def collected(items: Iterable[Item | InputFailure]) -> Iterator[Taken | InputFailure]:
    """Yield each file as it goes into the archive; for one that is too large or cannot be read or cleared, why."""
    names = {_MANIFEST}
    for item in items:
        if isinstance(item, InputFailure):
            yield item
            continue
        try:
            data, removed = cleared(_content(item))
        except (InputError, OSError) as error:
            yield InputFailure(item.name, (error.strerror if isinstance(error, OSError) else None) or str(error), None)
            continue
        yield Taken(_member_name(item.name, names), data, item.name, removed)


def _content(item: Item) -> bytes:
    with item.open() as stream:
        data = stream.read(_MOST + 1)
    if len(data) > _MOST:
        raise InputError(f"it has more than {_MOST >> 20} MiB; cut it to one boot")
    return data


def _member_name(source: str, names: set[str]) -> str:
    """Return what a file is called in the archive, and add it to the ``names`` that are there."""
    name = _UNSAFE.sub("_", PurePosixPath(source).name) or "file"
    name = next((name.removesuffix(end) for end in _PACKED if name.endswith(end)), name) or "file"  # it is unpacked
    while name in names:
        name = f"{name}_"
    names.add(name)
    return name


def cleared(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the content without what tells a board or its owner from others, and what that was.

    Raises `InputError` for what cannot be looked through.
    """
    if data.startswith(_TREE):
        return _cleared_tree(data)
    if all(_OPTION.match(line) for line in data.splitlines() if line.strip()):
        return data, ()  # the kernel's configuration: the same for every board of its kind
    what = described(data)
    if what is not None:
        raise InputError(f"it is {what}: what is secret in it is not seen; give trees as .dtb, logs as text")
    text = data.decode("utf-8", "replace")
    removed = []
    for pattern, what in _TEXT_RULES:
        text, count = pattern.subn(_removed, text)
        if count:
            removed.append(f"{count} {what}")
    return (text.encode() if removed else data), tuple(removed)


def _removed(match: re.Match[str]) -> str:
    return "".join(filter(None, match.groupdict().values())) + "REMOVED"


def _cleared_tree(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return the tree with secret values as zeros of the same length, so that nothing else moves."""
    try:
        tree = parse(data)
    except BlobError as error:
        raise InputError(str(error)) from error
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
            text = pattern.sub(_removed, text)
        value = text.encode("utf-8", "surrogateescape")
        if value != prop.value:
            set_property(node, name, value)
            yield f"{node.path}:{name}"


def written(path: Path, taken: Iterable[Taken], left_out: Iterable[InputFailure], version: str) -> None:
    """Write the archive, which must not exist: the files and a list of what was taken, removed and left out."""
    listed = list(taken)
    lines = [f"dtanalyze {version}", ""]
    for item in listed:
        lines.append(f"{item.name}: {_without_folder(item.source)}, {len(item.data)} bytes")
        lines += [f"    removed: {what}" for what in item.removed]
    lines += [f"{_without_folder(failure.path)}: left out, it cannot be read or looked through" for failure in left_out]
    manifest = "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")
    members = [*((item.name, item.data) for item in listed), (_MANIFEST, manifest)]
    try:
        with path.open("xb") as stream:
            _write(stream, path, members)
    except FileExistsError:
        raise InputError(f"{path}: it is there already") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _without_folder(source: str) -> str:
    """Return a path as a stranger may see it, on one line."""
    shown = source if source.startswith(_OF_THE_SYSTEM) else PurePosixPath(source).name
    return shown if shown.isprintable() else ascii(shown)


def _write(stream: BinaryIO, path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write the members to a new file, which is gone again when that fails: half an archive looks like a whole one."""
    try:
        with tarfile.open(fileobj=stream, mode="w:gz") as archive:
            for name, data in members:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
        stream.flush()
    except BaseException:
        path.unlink(missing_ok=True)
        raise

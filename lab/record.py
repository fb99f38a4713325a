"""What a boot leaves behind: a folder of files that ``verify`` reads, and one record in the form of fixtures/boots."""

from __future__ import annotations

import base64
import binascii
import json
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from dtanalyze.board.bus import LINUX
from dtanalyze.board.translate import reg_entries
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import InputError
from dtanalyze.evidence.lines import lines_of
from dtanalyze.evidence.xen_console import XenConsole, read_xen_console
from lab.case import Case

__all__ = ["Recorded", "record_of", "sections_of", "write_record"]

_MARK: Final = re.compile(r"@@lab (\S+)")
_STEP: Final = re.compile(r"lab: ([gp]):(\d+) errno (\d+)")
_SHOWN: Final = (
    "Grant table range",
    "BANK[",
    "xtended region",
    "Allocating 1:1",
    "Panic",
    "rc =",
    "Unable",
    "virtualisation",
)
_VIA: Final = {"g": "gntdev", "p": "privcmd"}


class Recorded(NamedTuple):
    """One boot: its files by name, its record, and how it ended."""

    files: dict[str, bytes]
    record: dict[str, Any]


def sections_of(console: str) -> dict[str, str]:
    """Return what dom0 printed between its marks, Xen's lines taken out."""
    parts = _MARK.split(console)
    found = {}
    for name, text in zip(parts[1::2], parts[2::2], strict=True):
        lines = [line.rstrip("\r") for line in text.split("\n") if "(XEN)" not in line]
        found[name] = "\n".join(lines).strip("\n") + "\n"
    return found


def record_of(case: Case, versions: dict[str, str | None], host: bytes, console: str, written: bytes | None) -> Recorded:
    """Return the files and the record of a boot; ``written`` is dom0's tree read from memory, for when Linux is silent."""
    said = sections_of(console)
    guest = _decoded(said.get("guest.dtb", "")) or written
    files = {
        "host.dtb": host,
        "xen.txt": console.partition("@@lab ")[0].encode(),
        "xen-cmdline": case.xen_cmdline.encode(),
        "linux-cmdline": case.linux_cmdline.encode(),
    }
    files |= {name: said[name].encode() for name in ("dmesg.txt", "iomem-before.txt", "iomem-after.txt") if name in said}
    if guest is not None:
        files["guest.dtb"] = guest
    root = _decoded(said.get("root.tar.gz", ""))
    if root is not None:
        files["root.tar.gz"] = root
    xen = _console(console)
    requests = [_request(match) for match in _STEP.finditer(said.get("requests.txt", ""))]
    after = said.get("iomem-after.txt", "").splitlines()
    scratch = [line.split(" : ")[0].strip().split("-") for line in after if line.endswith(": Xen scratch")]
    regions = _regions(guest)
    record = {
        "name": case.name,
        "xen_version": xen.version.value if xen.version else None,
        "xen_package": versions["xen"],
        "linux_package": versions["linux"],
        "machine": case.board,
        "cpu": case.cpu,
        "cpus": case.cpus,
        "host_mem_mib": case.ram_mib,
        "iommu": case.smmu,
        "dom0_mem": case.dom0_mem,
        "guest": "dom0",
        "extended_regions": [[hex(start), hex(stop)] for start, stop in regions[1:]],
        "grant_table": [hex(item) for item in regions[0]] if regions else None,
        "outcome": _outcome(xen, requests, scratch, case),
        "panic": xen.ended.value if xen.ended else None,
        "scratch_inclusive": [[hex(int(item, 16)) for item in pair] for pair in scratch],
        "requests": requests,
        "xen_messages": [line for line in console.splitlines() if "(XEN)" in line and any(word in line for word in _SHOWN)],
        "xen_cmdline": case.xen_cmdline,
        "linux_cmdline": case.linux_cmdline,
        "iomem_before": said.get("iomem-before.txt", "").splitlines() or None,
        "iomem_after": after or None,
    }
    return Recorded(files, record)


def _console(text: str) -> XenConsole:
    try:
        return read_xen_console(lines_of(text))
    except InputError:
        return XenConsole()


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.replace("\n", ""), validate=True) or None
    except binascii.Error:
        return None


def _request(match: re.Match[str]) -> dict[str, Any]:
    errno = int(match[3])
    # The grants and the domain do not exist: whatever is said of them comes after the pages were had.
    return {"via": _VIA[match[1]], "pages": int(match[2]), "ok": errno != 12, "errno": errno}


def _regions(blob: bytes | None) -> list[tuple[int, int]]:
    node = parse(blob).find("/hypervisor") if blob is not None else None
    if node is None:
        return []
    return [(entry.address, entry.address + entry.size) for entry in reg_entries(node, LINUX) if entry.address is not None]


def _outcome(xen: XenConsole, requests: list[dict[str, Any]], scratch: list[list[str]], case: Case) -> str:
    if xen.started is None:
        return "no-boot"
    if case.linux is None or not requests:
        return "xen-only"
    if scratch:
        return "scratch"
    return "balloon" if any(item["ok"] for item in requests) else "error"


def write_record(folder: Path, recorded: Recorded) -> None:
    """Write a case's folder, the record last: a folder without one was interrupted, and is done again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in recorded.files.items():
        (folder / name).write_bytes(data)
    (folder / "case.json").write_text(json.dumps(recorded.record, indent=1) + "\n")

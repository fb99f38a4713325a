"""What a case of the lab says: the machine, what its tree holds, and who is booted. A few lines of TOML each."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB, MIB, format_size, parse_range, parse_size
from dtanalyze.errors import UsageError

__all__ = ["Case", "Placed", "Reserved", "case_of", "read_cases"]

_RAM_BASE: Final = 0x4000_0000  # of QEMU's virt
_ALWAYS: Final = "console=dtuart dtuart=/pl011@9000000 loglvl=all guest_loglvl=all console_timestamps=none bootscrub=0"


class Reserved(NamedTuple):
    """One child of /reserved-memory; ``flags`` are properties, ``no-map`` or ``compatible=shared-dma-pool``."""

    range: AddressRange
    flags: tuple[str, ...]


class Placed(NamedTuple):
    """Where the boot loader puts things. ``kernel`` and ``ramdisk`` are None where the case has none."""

    xen: int
    tree: int
    kernel: AddressRange | None
    ramdisk: AddressRange | None
    stub: int


class Case(NamedTuple):
    """One case. ``linux`` None: an empty kernel image, Xen goes as far as starting it. Sizes are bytes."""

    name: str
    xen: str = "4.20"
    linux: str | None = None
    cpu: str = "cortex-a57"
    cpus: int = 1
    gic: int = 3
    smmu: bool = False
    ram: tuple[AddressRange, ...] = (AddressRange(_RAM_BASE, 2 * GIB),)
    reserved: tuple[Reserved, ...] = ()
    memreserve: tuple[AddressRange, ...] = ()
    devices: tuple[AddressRange, ...] = ()
    nodes: str = ""
    dom0_mem: str | None = None
    xen_options: str = ""
    linux_options: str = ""
    kaslr_seed: int | None = None
    place_xen: int | None = None
    place_tree: int | None = None
    place_kernel: int | None = None
    place_ramdisk: int | None = None
    requests: tuple[str, ...] = ("g:1", "g:40000", "p:1", "p:70000")

    @property
    def board(self) -> str:
        """QEMU's -machine."""
        return f"virt,gic-version={self.gic},virtualization=on" + (",iommu=smmuv3" if self.smmu else "")

    @property
    def ram_mib(self) -> int:
        """How much RAM the emulated machine needs, so that every bank lies in it."""
        return max((max(bank.stop for bank in self.ram) - _RAM_BASE + MIB - 1) // MIB, 256)

    @property
    def xen_cmdline(self) -> str:
        """Xen's command line, of which console and scrubbing are the same for all cases."""
        words = [_ALWAYS, f"dom0_mem={self.dom0_mem}" if self.dom0_mem else "", self.xen_options]
        return " ".join(word for word in words if word)

    @property
    def linux_cmdline(self) -> str:
        """Dom0's command line."""
        words = ["console=hvc0", "ignore_loglevel", "rdinit=/init", "panic=-1", self.linux_options]
        return " ".join(word for word in words if word)

    def placed(self, *, tree: int, kernel: int, ramdisk: int) -> Placed:
        """Return where everything goes, given the sizes in bytes; a case may fix any of them.

        Otherwise: Xen 4 MiB into the first bank that is large enough, the tree, the kernel and the ramdisk behind it,
        each on its own 2 MiB.
        """
        taken = [item.range for item in self.reserved] + list(self.memreserve) + list(self.devices)
        sizes = {"xen": 2 * MIB, "tree": tree, "kernel": kernel, "ramdisk": ramdisk, "stub": 4096}
        given = {"xen": self.place_xen, "tree": self.place_tree, "kernel": self.place_kernel, "ramdisk": self.place_ramdisk}
        found: dict[str, int] = {}
        for name, address in given.items():
            if address is not None:
                found[name] = address
                taken.append(AddressRange(address, sizes[name] or 1))
        for name in ("xen", "tree", "kernel", "ramdisk", "stub"):
            if name not in found and sizes[name]:
                found[name] = self._gap(sizes[name], taken)
                taken.append(AddressRange(found[name], sizes[name]))
        return Placed(
            xen=found["xen"],
            tree=found["tree"],
            kernel=AddressRange(found["kernel"], kernel) if kernel else None,
            ramdisk=AddressRange(found["ramdisk"], ramdisk) if ramdisk else None,
            stub=found["stub"],
        )

    def _gap(self, size: int, taken: list[AddressRange]) -> int:
        for bank in self.ram:
            # QEMU keeps a tree of its own in the first megabyte of its RAM.
            start = _aligned(max(bank.start, _RAM_BASE + 2 * MIB) if bank.start == _RAM_BASE else bank.start)
            while start + size <= bank.stop:
                hit = next((item for item in taken if item.start < start + size and start < item.stop), None)
                if hit is None:
                    return start
                start = _aligned(hit.stop)
        raise UsageError(f"{self.name}: no {format_size(size)} of its RAM are free")


def _aligned(address: int) -> int:
    return (address + 2 * MIB - 1) & ~(2 * MIB - 1)


def read_cases(path: Path) -> tuple[Case, ...]:
    """Return the cases of a TOML file; raise `UsageError` naming the case and key that cannot be meant."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: {error}") from None
    return tuple(case_of(item) for item in table.get("case", ()))


def case_of(table: dict[str, Any]) -> Case:
    """Return one case from its table."""
    name = table.get("name")
    if not isinstance(name, str) or not name or "/" in name or name.startswith("."):
        raise UsageError(f"a case needs a name that can name a folder, not {name!r}")
    unknown = sorted(set(table) - set(Case._fields))
    if unknown:
        raise UsageError(f"{name}: no such key: {', '.join(unknown)}")
    made = dict(table)
    for key in ("ram", "memreserve", "devices"):
        if key in made:
            made[key] = tuple(parse_range(item) for item in made[key])
    if "reserved" in made:
        made["reserved"] = tuple(_reserved(item) for item in made["reserved"])
    if "requests" in made:
        made["requests"] = tuple(made["requests"])
    for key in ("place_xen", "place_tree", "place_kernel", "place_ramdisk"):
        if isinstance(made.get(key), str):
            made[key] = parse_size(made[key])
    return Case(**made)


def _reserved(text: str) -> Reserved:
    where, *flags = text.split()
    return Reserved(parse_range(where), tuple(flags))

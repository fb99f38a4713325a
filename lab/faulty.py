"""Faulty host trees, each with the machine that it is for: seeded into the lab's own trees, recorded, or a file's alone."""

from __future__ import annotations

import contextlib
import json
import random
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import MIB, parse_range
from dtanalyze.analysis.host_ram import tree_ram
from dtanalyze.board.cpus import cpu_nodes
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.tree import Tree
from dtanalyze.errors import UsageError
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.profile import PRESETS
from lab.case import Case, case_of
from lab.host_tree import host_tree, images_of
from lab.machine import Machine, dump_tree
from lab.random_cases import random_case

__all__ = ["Faulty", "alone", "drawn", "of_case", "recorded", "seeded"]

_RAM_BASE: Final = 0x4000_0000
_PAGE: Final = 4096
_ROOM: Final = {"xen": 2 * MIB, "tree": MIB, "stub": _PAGE}
_TREE_ROOM: Final = 64 * 1024
_NODE: Final = re.compile(r"([\w,@-]+) \{")
_KERNEL: Final = 64 * 1024
_MOST_CPUS: Final = 8
_PACKAGED: Final = ("4.17", "4.20")


class Faulty(NamedTuple):
    """A tree with a fault. ``xen`` is a packaged release; ``machine`` has no images yet."""

    name: str
    origin: str
    xen: str
    blob: bytes
    machine: Machine


def seeded(path: Path) -> Iterator[Faulty]:
    """Yield every fault of a TOML file over every base of it."""
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    for fault in table["fault"]:
        for base in table["base"]:
            case = case_of({**base, **fault, "name": f"{fault['name']}-{base['name']}"})
            yield of_case(case)


def drawn(path: Path, seeds: range) -> Iterator[Faulty]:
    """Yield for each seed the random case of it with one to three faults of a TOML file; none where they leave no room."""
    faults = tomllib.loads(path.read_text(encoding="utf-8"))["fault"]
    for seed in seeds:
        draw = random.Random(seed)
        chosen: list[dict[str, Any]] = []
        for fault in draw.sample(faults, draw.choice((1, 1, 2, 3))):
            if not any(_clash(fault, other) for other in chosen):
                chosen.append(fault)
        case = random_case(seed)
        table = {key: value for fault in chosen for key, value in fault.items()}
        table["name"] = f"s{seed:05}-{'+'.join(fault['name'] for fault in chosen)}"
        table["nodes"] = " ".join(fault.get("nodes", "") for fault in chosen)
        made = case_of(table)
        with contextlib.suppress(UsageError):
            faulty = of_case(case._replace(**{key: getattr(made, key) for key in table}))
            modules = [AddressRange(item.address, max(item.size, 1)) for item in images_of(parse(faulty.blob))]
            if all(any(bank.covers(item) for bank in case.ram) for item in modules):
                yield faulty


def _clash(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two faults set the same key, or name a node alike."""
    names = [set(_NODE.findall(fault.get("nodes", ""))) for fault in (one, other)]
    return bool(names[0] & names[1]) or bool(set(one) & set(other) - {"name", "nodes"})


def of_case(case: Case) -> Faulty:
    """Return the tree of a case, on its machine, with an empty kernel image."""
    placed = case.placed(tree=_TREE_ROOM, kernel=_KERNEL, ramdisk=0)
    blob = host_tree(dump_tree(case.board, case.cpu, case.cpus, case.ram_mib), case, placed)
    machine = Machine(case.board, case.cpu, case.cpus, case.ram_mib, placed.xen, placed.tree, (), placed.stub)
    return Faulty(case.name, "seeded", case.xen, blob, machine)


def recorded(folder: Path) -> Iterator[Faulty]:
    """Yield the boots of a folder of records (fixtures/host-boots) that ended without Linux, each for a packaged Xen."""
    for path in sorted(folder.glob("*/case.json")):
        case = json.loads(path.read_text())
        release = next((item for item in _PACKAGED if case["xen_release"].startswith(item)), None)
        if case["outcome"] != "no-boot" or release is None or case["iommu"]:
            continue
        blob = (path.parent / "host.dtb").read_bytes()
        yield _placed(path.parent.name, "recorded", release, blob, case)


def alone(path: Path) -> Iterator[Faulty]:
    """Yield a tree for each packaged Xen, on a machine of QEMU's virt like the one that it describes."""
    blob = path.read_bytes()
    tree = parse(blob)
    gic = 3 if any(node.is_compatible("arm,gic-v3") for node in tree.root) else 2
    smmu = ",iommu=smmuv3" if any(node.is_compatible("arm,smmu-v3") for node in tree.root) else ""
    cpus = len(cpu_nodes(tree))
    given = {
        "machine": f"virt,gic-version={gic},virtualization=on{smmu}",
        "cpu": "cortex-a57",
        "cpus": min(max(cpus, 1), _MOST_CPUS),
        "options": [],
    }
    for release in _PACKAGED:
        yield _placed(f"{path.stem}-x{release.replace('.', '')}", "hand-made", release, blob, given)


def _placed(name: str, origin: str, release: str, blob: bytes, case: dict[str, Any]) -> Faulty:
    """Return the tree with Xen and the tree where the record says, else where the tree has room."""
    tree = parse(blob)
    said = dict(zip(case["options"][::2], case["options"][1::2], strict=False))
    table = said.get("--grant-table") or "-".join(case.get("grant_table") or ())
    fixed = {
        "xen": parse_range(table).start if table else None,
        "tree": int(said["--fdt-address"], 16) if "--fdt-address" in said else None,
        "stub": None,
    }
    free = _Free(name, tree)
    places = {key: free.taken(_ROOM[key], where) for key, where in fixed.items()}
    ram_mib = case.get("host_mem_mib") or max((max(bank.stop for bank in free.ram) - _RAM_BASE) // MIB, 256)
    machine = Machine(case["machine"], case["cpu"], case["cpus"], ram_mib, places["xen"], places["tree"], (), places["stub"])
    return Faulty(name, origin, release, blob, machine)


class _Free:
    """RAM of a tree that nothing in it uses."""

    def __init__(self, name: str, tree: Tree) -> None:
        self.name = name
        self.ram = tree_ram(tree) or (AddressRange(_RAM_BASE, 1024 * MIB),)
        reserved = boot_fdt_info(tree, PRESETS["4.20"]).reserved_mem
        self._used = [AddressRange(item.start, item.size) for item in reserved if item.size]
        self._used += [AddressRange(item.address, max(item.size, 1)) for item in images_of(tree)]
        self._used += [AddressRange(item.start, item.size) for item, _ in tree.reservations if item.size]

    def taken(self, size: int, fixed: int | None) -> int:
        """Return where so many bytes go, and count them as used; raise `UsageError` when there is no room."""
        start = fixed if fixed is not None else self._gap(size)
        self._used.append(AddressRange(start, size))
        return start

    def _gap(self, size: int) -> int:
        step = min(2 * MIB, max(size, _PAGE))  # Xen wants 2 MiB, the others their own size
        for bank in self.ram:
            # QEMU keeps a tree of its own in the first megabyte of its RAM.
            start = -(-(bank.start + 2 * MIB) // step) * step
            while start + size <= bank.stop:
                wanted = AddressRange(start, size)
                hit = next((item for item in self._used if item.overlaps(wanted)), None)
                if hit is None:
                    return start
                start = -(-hit.stop // step) * step
        raise UsageError(f"{self.name}: no {size:#x} bytes of its RAM are free")

"""Small guest trees and what a kernel makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.board.build import build_board
from dtanalyze.board.model import Board
from dtanalyze.facts import CheckResult
from dtanalyze.linux.profile import PRESETS, LinuxProfile
from tests.trees import dtb, tree

ROOT = "#address-cells = <2>; #size-cells = <2>;"
MEMORY = 'memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x8000000>; };'
XEN = 'compatible = "xen,xen-4.20", "xen,xen";'
GRANT = (0x38000000, 0x1000000)

Pairs = Iterable[tuple[int, int]]


def words(values: Iterable[int], width: int = 2) -> str:
    """Return ``<0x0 0x40000000 …>``, each value in ``width`` cells."""
    out = [value >> 32 * (width - 1 - place) & 0xFFFFFFFF for value in values for place in range(width)]
    return "<" + " ".join(f"{item:#x}" for item in out) + ">"


def reg(pairs: Pairs, width: int = 2) -> str:
    """Return a ``reg`` of (start, size) pairs."""
    return f"reg = {words((item for pair in pairs for item in pair), width)};"


def hypervisor(regions: Pairs, grant: tuple[int, int] = GRANT, name: str = "hypervisor", compatible: str = XEN) -> str:
    """Return the node with the grant table first."""
    return f"{name} {{ {compatible} {reg([grant, *regions])} }};"


def guest(regions: Pairs, extra: str = "", memory: str = MEMORY, grant: tuple[int, int] = GRANT) -> str:
    """Return the body of a whole guest tree with 2/2 cells."""
    return f"{ROOT} {memory} {hypervisor(regions, grant)} {extra}"


def board(body: str, linux: str = "6.12", reservations: Sequence[tuple[int, int]] = ()) -> Board:
    """Return what this kernel reads from the tree."""
    return build_board(tree(body, reservations), PRESETS[linux].address_rules)


def answer(body: str, linux: str | LinuxProfile = "6.12", reservations: Pairs = (), **options: Any) -> CheckResult:
    """Return the result for a guest tree; ``options`` are those of `CheckOptions`."""
    profile = PRESETS[linux] if isinstance(linux, str) else linux
    asked = CheckOptions(linux=profile, tree="domu")._replace(**options)
    (result,) = check(dtb(body, list(reservations)), "guest.dtb", asked)
    return result

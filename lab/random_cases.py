"""Cases drawn by a seed: banks, reservations, modules, devices, dom0_mem. The same seed draws the same case for ever."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Final

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB, KIB, MIB
from lab.case import Case, Reserved

__all__ = ["random_case", "random_cases"]

_BASE: Final = 0x4000_0000
_FREE_OF_DEVICES: Final = AddressRange(0x0B00_0000, 16 * MIB)
"""Where QEMU's virt has nothing."""
_XEN: Final = ("4.17", "4.20")
_LINUX: Final = ("6.12", "6.1")
_DOM0: Final = ("64M", "100M", "128M", "256M", "320M", "512M", "513M", "777M", "1G", None)


def random_cases(seeds: Iterator[int] | range, *, linux: bool) -> Iterator[Case]:
    """Yield one case for each seed."""
    return (random_case(seed, linux=linux) for seed in seeds)


def random_case(seed: int, *, linux: bool = False) -> Case:
    """Return the case of this seed, with or without Linux."""
    draw = random.Random(seed)
    ram = _banks(draw, linux)
    taken: list[AddressRange] = []
    pieces = tuple(_pieces(draw, ram, taken, draw.randrange(12), draw.choice((64 * KIB, 64 * KIB, MIB))))
    reserved = tuple(Reserved(item, ("no-map",) if draw.random() < 0.5 else ()) for item in pieces)
    memreserve = tuple(_pieces(draw, ram, taken, draw.randrange(3), 4 * KIB))
    devices = tuple(_pieces(draw, (_FREE_OF_DEVICES,), [], draw.randrange(3), 4 * KIB))
    return Case(
        name=f"{'l' if linux else 'x'}{seed:04}",
        xen=draw.choice(_XEN),
        linux=draw.choice(_LINUX) if linux else None,
        cpu=draw.choice(("cortex-a57", "cortex-a57", "cortex-a53", "max")),
        cpus=draw.choice((1, 1, 2, 4)),
        gic=draw.choice((3, 3, 2)),
        ram=ram,
        reserved=reserved,
        memreserve=memreserve,
        devices=devices,
        dom0_mem="512M" if linux else draw.choice((*_DOM0, f"{draw.randrange(32, 1500)}M")),
        place_xen=_place(draw, ram, taken, 2 * MIB, 2 * MIB),
        place_tree=_place(draw, ram, taken, 64 * KIB, 4 * KIB),
        place_kernel=None if linux else _place(draw, ram, taken, 64 * KIB, 4 * KIB),
        kaslr_seed=draw.getrandbits(64) if draw.random() < 0.3 else None,
    )


def _place(
    draw: random.Random, ram: tuple[AddressRange, ...], taken: list[AddressRange], size: int, align: int
) -> int | None:
    """Return where a boot loader may put something, or None: where the lab puts it."""
    bank = draw.choice(ram)
    address = bank.start + draw.randrange(0, max(bank.size // align, 1)) * align
    item = AddressRange(address, size)
    usable = bank.covers(item) and not _BASE <= address < _BASE + 4 * MIB
    if draw.random() < 0.4 or not usable or any(item.overlaps(other) for other in taken):
        return None
    taken.append(item)
    return address


def _banks(draw: random.Random, linux: bool) -> tuple[AddressRange, ...]:
    """Return one to four banks with holes between them, the first large enough for what a loader lays down."""
    at, banks = _BASE, []
    for number in range(draw.randrange(1, 7)):
        least = (1024 if linux else 256) if number == 0 else 32
        size = draw.randrange(least, least + 1500, 32) * MIB
        banks.append(AddressRange(at, size))
        at += size + draw.choice((32 * MIB, 64 * MIB, 200 * MIB, 1 * GIB))
    return tuple(banks)


def _pieces(
    draw: random.Random, ram: tuple[AddressRange, ...], taken: list[AddressRange], count: int, unit: int
) -> Iterator[AddressRange]:
    for _ in range(count):
        bank = draw.choice(ram)
        size = unit * draw.randrange(1, 64)
        start = bank.start + unit * draw.randrange(0, max((bank.size - size) // unit, 1))
        item = AddressRange(start, size)
        # QEMU keeps a tree of its own in the first megabyte of its RAM.
        fits = bank.covers(item) and not _BASE <= item.start < _BASE + 4 * MIB
        if fits and not any(item.overlaps(other) for other in taken):
            taken.append(item)
            yield item

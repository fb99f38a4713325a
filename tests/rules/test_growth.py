"""Many of the same kind: what is told is bounded, with the count, and the work stays near linear."""

from __future__ import annotations

import time

import pytest

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.facts import CheckResult
from dtanalyze.rules.examples import host
from dtanalyze.rules.model import MOST
from tests.linux.build import ROOT, answer, guest, reg
from tests.trees import dtb

S = 0x8000000
FREE = [(0x100000000, 8 * S)]


def devices(count: int, step: int, compatible: str = "vendor,device") -> str:
    return " ".join(
        f'd@{n} {{ compatible = "{compatible}"; {reg([(0x100000000 + n * step, 0x1000)])} }};' for n in range(count)
    )


def reserved(count: int, start: int, extra: str = "") -> str:
    children = " ".join(f"r{n} {{ {reg([(start + n * 0x4000, 0x1000)])} {extra} }};" for n in range(count))
    return f"reserved-memory {{ {ROOT} ranges; {children} }};"


KINDS = {
    "regions that hold no section": lambda n: guest([(0x100000000 + i * 3 * S, 0x1000) for i in range(n)]),
    "regions": lambda n: guest([(0x100000000 + i * 3 * S, 2 * S - 0x1000) for i in range(n)]),
    "reservations outside RAM": lambda n: guest(FREE, reserved(n, 0x100000000)),
    "no-map reservations": lambda n: guest([(0x40000000, S)], reserved(n, 0x40000000, "no-map;")),
    "banks": lambda n: guest(
        FREE,
        " ".join(
            f'memory@{i} {{ device_type = "memory"; {reg([(0x100000000 + i * 0x10000, 0x1000)])} }};' for i in range(n)
        ),
    ),
    "devices": lambda n: guest(FREE, devices(n, 0x10000)),
    "devices on one address": lambda n: guest(FREE, devices(n, 0)),
}


def of_rule(result: CheckResult, rule: str) -> list[str]:
    return [item.message for item in result.findings if item.rule == rule]


@pytest.mark.parametrize(
    ("kind", "rule", "there"),
    [
        ("regions that hold no section", "X12", 250),
        ("reservations outside RAM", "X05", 250),
        ("no-map reservations", "X04", 250),
        ("banks", "X03", 250),
    ],
)
def test_the_rest_is_counted(kind: str, rule: str, there: int) -> None:
    told = of_rule(answer(KINDS[kind](there)), rule)
    assert len(told) == MOST + 1
    assert f"{there - MOST} more of the same kind" in told


def test_as_many_as_are_told_need_no_count() -> None:
    told = of_rule(answer(KINDS["banks"](MOST)), "X03")
    assert len(told) == MOST
    assert not any("more of the same kind" in item for item in told)


def test_every_device_on_a_crowded_address_is_told_or_counted() -> None:
    """Each is paired with those that reach farthest, not with every other one."""
    few = of_rule(
        answer(guest(FREE, devices(5, 0).replace("vendor,device", "vendor,a", 1).replace("vendor,device", "vendor,b", 1))),
        "O02",
    )
    assert len(few) == 7  # ten pairs, less the three of one kind of device
    mixed = " ".join(f'd@{n} {{ compatible = "vendor,d{n}"; {reg([(0x9000000, 0x1000)])} }};' for n in range(40))
    told = of_rule(answer(guest(FREE, mixed)), "O02")
    assert len(told) == MOST + 1


@pytest.mark.parametrize("kind", KINDS)
def test_eight_times_as_many_take_less_than_twenty_times_as_long(kind: str) -> None:
    """Quadratic work would take 64 times as long."""

    def seconds(count: int) -> float:
        blob = dtb(KINDS[kind](count))
        best = 1e9
        for _ in range(2):
            start = time.process_time()
            check(blob, kind, CheckOptions(tree="domu"))
            best = min(best, time.process_time() - start)
        return best

    small, large = seconds(80), seconds(640)
    assert large < 20 * small + 0.05


DOMAIN = (
    'guest{n} {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0 0x1000>; cpus = <1>; '
    'm@{at:x} {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 {at:#x} 0 0x1000>; }}; }};'
)


def test_domains_share_what_is_told_of_their_machine() -> None:
    """A stop lists every domain that Xen never comes to: told to each anew, that is the square of their number."""
    domains = " ".join(DOMAIN.format(n=n, at=0x48000000 + 0x2000 * n) for n in range(3))
    body = host(chosen=domains).replace("arm,armv8-timer", "no,timer")
    machines = [item.host for item in check(dtb(body), "board.dtb", CheckOptions(tree="host")) if item.host is not None]
    assert [len(machine.scan) for machine in machines] == [3, 3, 3]
    for name in ("scan", "modules", "devices", "ram"):
        assert len({id(getattr(machine, name)) for machine in machines}) == 1, name

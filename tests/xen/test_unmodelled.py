"""What no stage mirrors is said where its trigger is there, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from dtanalyze.board.architecture import ARM32
from dtanalyze.xen.boot import Boot
from dtanalyze.xen.boot_cpupool import CpuPools
from dtanalyze.xen.build import DEFAULT, read_build
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import prepare
from dtanalyze.xen.profile import preset
from dtanalyze.xen.unmodelled import TRIGGERS, unmodelled
from tests.xen.build import host

BOARD = """
interrupt-parent = <1>;
gic@8000000 {{ compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; }};
timer {{ compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; }};
chosen {{ #address-cells = <2>; #size-cells = <2>; xen,xen-bootargs = "{line}"; {chosen} }}; {more}
"""
KERNEL = 'm@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x10000>; };'
POLICY = 'm@49000000 { compatible = "xen,xsm-policy", "multiboot,module"; reg = <0 0x49000000 0 0x1000>; };'
GUEST = 'domU1 { compatible = "xen,domain"; cpus = <1>; memory = <0 0x1000>; %s };'


def said(more: str = "", chosen: str = "", line: str = "console=dtuart", release: str = "4.22", **known: Any) -> list[str]:
    options = XenOptions(**known)
    tree = host(BOARD.format(line=line, chosen=chosen, more=more))
    return list(unmodelled(Boot(prepare(tree, options), preset(release), options)))


def test_a_heap_that_holds_little_beside_the_frame_table() -> None:
    """A GiB of RAM takes 14 MiB of frame table, 56 bytes a page: 16 MiB of static heap leave less than 2, 18 less than 4."""
    heap = "xen,static-heap = <0 0x50000000 0 {:#x}>;"
    for size, left in ((16, "1"), (18, "3")):
        (told,) = said(chosen=heap.format(size << 20))
        assert told.startswith("not modelled: what of Xen itself finds no room in its heap (") and told.endswith(" of it)")
        kib = int(told.rpartition("(")[2].split()[0])
        assert int(left) << 10 < kib < int(left) + 1 << 10
    assert said(chosen=heap.format(19 << 20)) == []


ITS = 'its@8080000 { compatible = "arm,gic-v3-its"; reg = <0 0x8080000 0 0x20000>; };'
OPTEE = 'firmware { optee { compatible = "linaro,optee-tz"; }; };'
COLOURED = "llc-coloring=on"


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({}, []),
        (
            {"chosen": KERNEL},
            [
                "what a module holds (/chosen/m@48000000: taken for an arm64 Image that is not compressed; where one is "
                "gzip'ed, reg has to end with the file)"
            ],
        ),
        ({"chosen": POLICY}, ["what a policy of FLASK holds (/chosen/m@49000000: Xen jumps to address 0 over one that is no policy, even without xsm=flask)"]),
        ({"more": ITS}, []),  # off by default, and then nobody looks at it
        ({"more": ITS, "build": read_build("CONFIG_HAS_ITS=y")}, ["the ITS of the interrupt controller (/its@8080000)"]),
        ({"build": read_build("CONFIG_HAS_ITS=y")}, []),
        ({"more": OPTEE}, []),
        ({"more": OPTEE, "build": read_build("CONFIG_TEE=y")}, ["the mediator of a trusted OS (/firmware/optee)"]),
        ({"build": read_build("CONFIG_TEE=y")}, []),
        (
            {"line": COLOURED},
            ["the colours of the last-level cache (llc-coloring=on: how many colours the cache has only the CPU knows)"],
        ),
        ({"line": COLOURED, "release": "4.19"}, []),
        ({"line": COLOURED, "build": read_build("CONFIG_LLC_COLORING=n")}, []),
        ({"line": "dom0=sve=128", "build": read_build("CONFIG_ARM64_SVE=y")}, ["how long SVE's vectors may be (dom0=sve)"]),
        ({"build": read_build("CONFIG_ARM64_SVE=y")}, []),
        ({"chosen": GUEST % "sve;", "build": read_build("CONFIG_ARM64_SVE=y")}, ["how long SVE's vectors may be (/chosen/domU1)"]),
        ({"chosen": GUEST % "capabilities = <2>;"}, ["RAM, regions and tree of a hardware domain of /chosen (/chosen/domU1)"]),
        ({"chosen": GUEST % "capabilities = <4>;"}, []),
    ],
)
def test_each_trigger(how: dict[str, Any], expected: list[str]) -> None:
    assert said(**how) == [f"not modelled: {item}" for item in expected]


def test_a_32_bit_machine_and_many_banks() -> None:
    """Told by what the boot finds, without a tree that is so."""
    options = XenOptions()
    boot = Boot(prepare(host(BOARD.format(line="", chosen="", more="")), options), preset("4.22"), options)
    vars(boot)["arch"] = ARM32
    few = boot.profile._replace(nr_mem_banks=len(boot.dom0_memory.banks) + 1)
    by_name = {item.name: item for item in TRIGGERS}
    assert by_name["arm32"].found(boot) == "a 32-bit machine"
    boot.profile = few
    assert by_name["many-banks"].found(boot) is None
    boot.profile = few._replace(nr_mem_banks=1)
    assert by_name["many-banks"].found(boot) == "dom0 has 1 banks"


def test_a_domain_without_a_pool_is_in_the_first() -> None:
    tree = host('chosen { pool { compatible = "xen,cpupool"; phandle = <5>; cpupool-cpus = <7>; }; guest { domain-cpupool = <5>; }; };')
    chosen = tree.root.child("chosen")
    assert chosen is not None
    pools = CpuPools(tree, DEFAULT, (), (), True)
    assert pools.domain_pool_id(chosen) == 0
    assert pools.domain_pool_id(chosen.children[1]) == -4

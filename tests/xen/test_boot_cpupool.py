"""Pools of CPUs that a tree makes; the lines are those of common/sched/boot-cpupool.c, the trees drawn by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.xen.build import BUILDS, read_build
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from tests.xen.build import blob

RAM = """
#address-cells = <2>; #size-cells = <2>;
memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
"""
BOARD = """
interrupt-parent = <1>;
gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; };
timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };
more-cpus { phandle = <9>; };
"""
CPUS = """
cpus { #address-cells = <1>; #size-cells = <0>;
    cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; phandle = <10>; };
    cpu@1 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <1>; phandle = <11>; };
    cpu@100 { device_type = "cpu"; compatible = "arm,cortex-a72"; reg = <0x100>; phandle = <12>; };
    cpu@101 { device_type = "cpu"; compatible = "arm,cortex-a72"; reg = <0x101>; phandle = <13>; };
    idle { phandle = <14>; };
};
"""
POOL = 'pool{0} {{ compatible = "xen,cpupool"; phandle = <{0}>; {1} }};'
DOMAIN = """domU1 {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0 0x40000>; cpus = <1>; {}
    m@48000000 {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x10000>; }}; }};"""


def run(*chosen: str, release: str = "4.22", line: str = "console=dtuart", **known: Any) -> Prediction:
    options = XenOptions(**known)
    body = f'{BOARD} {CPUS} chosen {{ xen,xen-bootargs = "{line}"; {"".join(chosen)} }};'
    return predict(prepare(parse(blob(RAM + body)), options), preset(release), options)[0]


def refused(*chosen: str, **how: Any) -> tuple[str, ...]:
    stop = run(*chosen, **how).stopped_by
    return stop.lines if stop is not None else ()


def pool(properties: str, phandle: int = 20) -> str:
    return POOL.format(phandle, properties)


@pytest.mark.parametrize(
    ("pools", "line"),
    [
        ((pool("cpupool-cpus = <10 11>;"),), None),
        ((pool('cpupool-cpus = <10>; cpupool-sched = "credit";'), pool('cpupool-cpus = <11>; cpupool-sched = "null";', 21)), None),
        ((pool(""),), "Missing or empty cpupool-cpus property!"),
        ((pool("cpupool-cpus = <99>;"),), "Missing or empty cpupool-cpus property!"),
        ((pool("cpupool-cpus = <10 99 9>;"),), None),  # a phandle of nothing ends the list
        ((pool("cpupool-cpus = <9>;"),), "Error retrieving logical cpu from node pool20 (-1)"),
        ((pool("cpupool-cpus = <10 10>;"),), "Logical cpu 0 already added to a cpupool!"),
        ((pool("cpupool-cpus = <10>;"), pool("cpupool-cpus = <11 10>;", 21)), "Logical cpu 0 already added to a cpupool!"),
        ((pool("cpupool-cpus = <10>;"), pool("cpupool-cpus = <12>;", 21)), "Pool-1 contains cpu2 that is not online!"),
        ((pool('cpupool-cpus = <10>; cpupool-sched = "cfs";'),), "Scheduler cfs does not exists!"),
    ],
)
def test_what_xen_says_of_pools(pools: tuple[str, ...], line: str | None) -> None:
    for release in ("4.17", "4.20", "4.22"):
        found = run(*pools, release=release).stopped_by
        assert (found.lines if found else None) == ((line,) if line else None), release
        assert found is None or found.stage == "cpupools"
    assert refused(*pools, release="4.16") == ()
    assert refused(*pools, build=BUILDS["stock"]) == (), "off by default, and then nobody reads them"


def test_the_option_is_presumed_and_said() -> None:
    assert any("CONFIG_BOOT_TIME_CPUPOOLS" in note for note in run(pool("cpupool-cpus = <10>;")).assumed)
    assert not any("CONFIG_BOOT_TIME_CPUPOOLS" in note for note in run().assumed)


def test_a_cpu_that_xen_counts_may_be_of_another_kind_with_hmp_unsafe() -> None:
    assert refused(pool("cpupool-cpus = <12>;"), line="hmp-unsafe") == ()
    beyond = refused(pool("cpupool-cpus = <12>;"), line="maxcpus=2")
    assert beyond == ("Error retrieving logical cpu from node pool20 (-2)",)


def test_a_scheduler_has_to_be_built() -> None:
    built = read_build("CONFIG_BOOT_TIME_CPUPOOLS=y\nCONFIG_SCHED_NULL=y")
    assert refused(pool('cpupool-cpus = <10>; cpupool-sched = "null";'), build=built) == ()
    assert refused(pool('cpupool-cpus = <10>; cpupool-sched = "rtds";'), build=built) == ("Scheduler rtds does not exists!",)


@pytest.mark.parametrize(
    ("more", "code"),
    [
        (("domain-cpupool = <20>;", pool("cpupool-cpus = <10>;")), None),
        (("domain-cpupool = <99>;",), None),  # names nothing: the domain runs in the first pool
        (("domain-cpupool = <9>;",), -3),
    ],
)
def test_the_pool_of_a_domain(more: tuple[str, ...], code: int | None) -> None:
    domain, pools = DOMAIN.format(more[0]), more[1:]
    expected = () if code is None else (f"Error getting cpupool id from domain-cpupool ({code})",)
    for release in ("4.17", "4.22"):
        assert refused(*pools, domain, release=release) == expected
    assert refused(*pools, domain, release="4.16") == ()

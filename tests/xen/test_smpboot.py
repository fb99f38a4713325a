"""Which CPUs Xen brings up: dt_smp_init_cpus, dt_arch_cpu_init and start_secondary, by hand."""

from __future__ import annotations

import pytest

from dtanalyze.xen.parse_params import XenArgs
from dtanalyze.xen.smpboot import dt_smp_init_cpus, online_cpus, possible_cpus
from tests.trees import tree

CPU = 'cpu@{at} {{ device_type = "cpu"; compatible = "{core}"; reg = <{at}>; {how} }};'
PSCI = 'enable-method = "psci";'
TABLE = 'enable-method = "spin-table";'


def board(*cpus: str) -> str:
    return "cpus { #address-cells = <1>; #size-cells = <0>; " + "".join(cpus) + " };"


def cpu(at: int, how: str = PSCI, core: str = "arm,cortex-a53") -> str:
    return CPU.format(at=at, core=core, how=how)


@pytest.mark.parametrize(
    ("how", "started"),
    [
        (PSCI, True),
        (TABLE + " cpu-release-addr = <0 0x1000>;", True),
        (TABLE, False),
        ('enable-method = "acme";', False),
        ("", False),  # the first states one, so that this one has none
    ],
)
def test_how_another_cpu_is_started(how: str, started: bool) -> None:
    assert len(dt_smp_init_cpus(tree(board(cpu(0), cpu(1, how))))) == 1 + started


@pytest.mark.parametrize(
    ("psci", "cpus"),
    [
        ('psci { compatible = "arm,psci-1.0"; method = "smc"; };', 2),
        ('psci { compatible = "arm,psci-1.0"; method = "hvc"; };', 1),  # booted: "/psci method must be smc"
        ('psci { compatible = "arm,psci-0.2"; };', 1),
        ("", 2),  # firmware may add it
    ],
)
def test_firmware_is_called_by_smc(psci: str, cpus: int) -> None:
    assert len(dt_smp_init_cpus(tree(psci + board(cpu(0), cpu(1))))) == cpus


@pytest.mark.parametrize(
    ("how", "fixed", "before"),
    [
        # booted with 4.17.5 and 4.22.0 (before) and 4.20.4 (ccde3773c1): four CPUs, the second or the last cannot be started
        (1, ["0", "2", "3"], ["0", "2"]),
        (3, ["0", "1", "2"], ["0", "1", "2"]),
    ],
)
def test_one_that_cannot_be_started_had_a_number(how: int, fixed: list[str], before: list[str]) -> None:
    four = tree(board(*(cpu(at, 'enable-method = "acme";' if at == how else PSCI) for at in range(4))))
    assert [node.name[-1] for node in possible_cpus(four, XenArgs())] == fixed
    assert [node.name[-1] for node in possible_cpus(four, XenArgs(), unstarted_numbered=True)] == before
    assert len(online_cpus(four, XenArgs(max_cpus=2), unstarted_numbered=True)) == min(2, how)


def test_without_any_method_firmware_is_taken_to_write_them() -> None:
    assert len(dt_smp_init_cpus(tree(board(cpu(0, ""), cpu(1, ""))))) == 2


def test_which_stay_on() -> None:
    mixed = tree(board(cpu(0), cpu(1, core="arm,cortex-a72"), cpu(2)))
    paths = [node.path for node in online_cpus(mixed, XenArgs())]
    assert paths == ["/cpus/cpu@0", "/cpus/cpu@2"]
    assert len(online_cpus(mixed, XenArgs(hmp_unsafe=True))) == 3
    unknown = tree(board(cpu(0), cpu(1).replace('compatible = "arm,cortex-a53";', ""), cpu(2, core="arm,cortex-a72")))
    assert [node.path for node in online_cpus(unknown, XenArgs())] == ["/cpus/cpu@0", "/cpus/cpu@1"]
    assert len(possible_cpus(mixed, XenArgs(max_cpus=2))) == 2 and len(online_cpus(mixed, XenArgs(max_cpus=2))) == 1
    assert online_cpus(tree(""), XenArgs()) == ()

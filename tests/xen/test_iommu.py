"""What Xen asks of each IOMMU before it uses one; lines and codes are those of the three drivers, the trees drawn by hand."""

from __future__ import annotations

from typing import Any

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from tests.xen.build import blob

BOARD = """#address-cells = <2>; #size-cells = <2>; interrupt-parent = <1>;
memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x80000000>; };
cpus { #address-cells = <1>; #size-cells = <0>; cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; }; };
timer { compatible = "arm,armv8-timer"; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };
gic@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupts = <1 9 4>; };
serial@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; interrupts = <0 1 4>; };
chosen { stdout-path = "/serial@9000000"; };
"""
PANIC = "Couldn't configure correctly all the IOMMUs."
REG = "reg = <0 0x2b400000 0 0x20000>;"
SMMU = 'smmu@2b400000 {{ compatible = "arm,mmu-500"; #iommu-cells = <1>; phandle = <2>; {} }};'
V3 = 'smmu@2b400000 {{ compatible = "arm,smmu-v3"; phandle = <2>; {} }};'
TWO_IRQS = "#global-interrupts = <1>; interrupts = <0 100 4>, <0 101 4>;"
GOOD = SMMU.format(REG + TWO_IRQS)
GOOD_V3 = V3.format(REG + "#iommu-cells = <1>;")
OTHER = 'smmu@2b500000 {{ compatible = "arm,mmu-400"; #iommu-cells = <1>; phandle = <3>; reg = <0 0x2b500000 0 0x10000>; {} }};'
DEVICE = "dma@2c000000 {{ reg = <0 0x2c000000 0 0x1000>; iommus = <{} 1>; }};"


def boot(*parts: str, release: str = "4.22", **known: Any) -> Prediction:
    options = XenOptions(**known)
    return predict(prepare(parse(blob(BOARD + "".join(parts))), options), preset(release), options)[0]


def said(found: Prediction) -> tuple[str, ...]:
    return found.stopped_by.lines if found.stopped_by else ()


@pytest.mark.parametrize("good", [GOOD, GOOD_V3])
@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_one_that_is_whole_is_used(good: str, release: str) -> None:
    found = boot(good, DEVICE.format(2), release=release)
    assert (found.iommu, said(found)) == (True, ())


@pytest.mark.parametrize(
    ("node", "because"),
    [
        (SMMU.format(REG + "interrupts = <0 100 4>, <0 101 4>;"), "it has no #global-interrupts"),
        (SMMU.format(REG + "#global-interrupts; interrupts = <0 100 4>, <0 101 4>;"), "it has no #global-interrupts"),
        (SMMU.format(REG + "#global-interrupts = <1>; interrupts = <0 100 4>;"), "1 of its interrupts are to be had"),
        (SMMU.format(REG + "#global-interrupts = <0>;"), "0 of its interrupts are to be had"),
        # the first that cannot be had ends the count: its trigger is another one than the UART's
        (SMMU.format(REG + "#global-interrupts = <1>; interrupts = <0 100 4>, <0 1 1>, <0 102 4>;"), "1 of its interrupts"),
    ],
)
def test_an_smmu_that_is_passed_over(node: str, because: str) -> None:
    """arm_smmu_device_dt_probe returns -ENODEV, which iommu_hardware_setup ignores: no IOMMU, and no panic."""
    found = boot(node, DEVICE.format(2))
    assert (found.iommu, found.method, said(found)) == (False, "unallocated", ())
    note = next(item for item in found.assumed if item.startswith("IOMMU:"))
    assert "Xen passes over /smmu@2b400000" in note and because in note


def test_force_names_what_was_passed_over() -> None:
    line = 'chosen { xen,xen-bootargs = "iommu=force"; };'
    board = BOARD.replace('chosen { stdout-path = "/serial@9000000"; };', line)
    options = XenOptions()
    tree = parse(blob(board + SMMU.format(REG)))
    stop = predict(prepare(tree, options), preset("4.22"), options)[0].stopped_by
    assert stop is not None and stop.lines == ("Couldn't enable IOMMU and iommu=required/force",)
    assert "/smmu@2b400000 cannot be used: it has no #global-interrupts" in stop.because


@pytest.mark.parametrize(
    ("node", "lines"),
    [
        (SMMU.format(TWO_IRQS), ("smmu: /smmu@2b400000: Invalid resource",)),
        (
            SMMU.format(REG + "#global-interrupts = <1>; interrupts = <0 1 4>, <0 101 4>;"),
            ("smmu: /smmu@2b400000: failed to request global IRQ 0 (33)",),
        ),
        (V3.format(REG), ("SMMUv3: /smmu@2b400000: missing #iommu-cells property",)),
        (V3.format(REG + "#iommu-cells = <2>;"), ("SMMUv3: /smmu@2b400000: invalid #iommu-cells value (2)",)),
        (V3.format("#iommu-cells = <1>;"), ()),
        (
            V3.format("reg = <0 0x2b400000 0 0x1ffff>; #iommu-cells = <1>;"),
            ("SMMUv3: /smmu@2b400000: MMIO region too small (1ffff)",),
        ),
        (
            V3.format("reg = <0 0x2b400000 0 0xffff>; #iommu-cells = <1>; cavium,cn9900-broken-page1-regspace;"),
            ("SMMUv3: /smmu@2b400000: MMIO region too small (ffff)",),
        ),
    ],
)
def test_one_that_ends_the_boot(node: str, lines: tuple[str, ...]) -> None:
    """start_xen panics when any IOMMU fails with another code than -ENODEV; switched off, none is tried."""
    for release in ("4.17", "4.20", "4.22"):
        found = boot(node, release=release)
        assert (found.iommu, said(found)) == (False, (*lines, PANIC))
        assert found.stopped_by is not None and found.stopped_by.stage == "iommu"
        assert found.stopped_by.node == "/smmu@2b400000"
    assert said(boot(node, iommu=True)) == (), "who says that it is used knows better"


def test_switched_off_nothing_is_tried() -> None:
    board = BOARD.replace("chosen {", 'chosen { xen,xen-bootargs = "iommu=off";')
    options = XenOptions()
    tree = parse(blob(board + V3.format(REG)))
    assert predict(prepare(tree, options), preset("4.22"), options)[0].stopped_by is None


def test_the_first_page_alone() -> None:
    small = V3.format("reg = <0 0x2b400000 0 0x10000>; #iommu-cells = <1>; cavium,cn9900-broken-page1-regspace;")
    assert boot(small).iommu


def test_an_smmu_for_a_guest_is_not_xens() -> None:
    assert not boot(V3.format(REG + "xen,passthrough;")).iommu
    assert said(boot(V3.format(REG + "xen,passthrough;"))) == ()


def test_a_device_behind_one_that_was_passed_over() -> None:
    """find_smmu finds none: -ENXIO, and no IOMMU at all is no harm."""
    bad = OTHER.format("interrupts = <0 110 4>;")
    assert said(boot(bad, DEVICE.format(3))) == ()
    lines = said(boot(GOOD, bad, DEVICE.format(3)))
    assert lines[:2] == ("Failed to add /dma@2c000000 to the IOMMU", "Device tree generation failed (-6).")


def test_one_kind_of_iommu_is_driven() -> None:
    """The second driver's operations are not set, so its devices are no masters of the first's (-ENXIO, -ENODEV)."""
    v3 = 'iommu@2b600000 { compatible = "arm,smmu-v3"; #iommu-cells = <1>; phandle = <4>; reg = <0 0x2b600000 0 0x20000>; };'
    assert said(boot(GOOD, v3, DEVICE.format(2))) == ()
    assert "Device tree generation failed (-6)." in said(boot(GOOD, v3, DEVICE.format(4)))
    assert "Device tree generation failed (-19)." in said(boot(v3, GOOD, DEVICE.format(2)))


MASTER = "dma@2c000000 { reg = <0 0x2c000000 0 0x1000>; #stream-id-cells = <1>; phandle = <9>; };"


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        ((GOOD.replace("phandle = <2>;", "mmu-masters = <9 5>;"), MASTER), None),
        ((GOOD.replace("phandle = <2>;", "mmu-masters = <9 5 77 1 9 6>;"), MASTER), None),  # an unknown one ends the list
        ((GOOD.replace("phandle = <2>;", "mmu-masters = <9 5 9 6>;"), MASTER), "smmu: /smmu@2b400000: failed to add master dma"),
        (
            (
                GOOD.replace("phandle = <2>;", "mmu-masters = <9 5>;"),
                OTHER.format("#global-interrupts = <1>; interrupts = <0 110 4>, <0 111 4>; mmu-masters = <9 5>;"),
                MASTER,
            ),
            "smmu: /smmu@2b500000: failed to add master dma",
        ),
    ],
)
def test_masters_by_the_old_binding(parts: tuple[str, ...], line: str | None) -> None:
    """register_smmu_master: one SMMU, once."""
    found = boot(*parts)
    assert (found.iommu, said(found)) == (line is None, () if line is None else (line, PANIC))


IPMMU = 'mmu@e{0}0000 {{ compatible = "renesas,ipmmu-r8a7795"; #iommu-cells = <1>; reg = <0 0xe{0}0000 0 0x1000>; {1} }};'
ROOT = IPMMU.format(7, "interrupts = <0 196 4>;")
CACHE = IPMMU.format(6, "renesas,ipmmu-main = <8 0>;")


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ((ROOT,), None),
        ((CACHE, ROOT), None),  # tried again once the main one is there
        ((CACHE,), ("ipmmu: /mmu@e60000: Failed to init IPMMU (-11)",)),
        (
            (IPMMU.format(7, ""),),
            ("ipmmu: /mmu@e70000: No IRQ found", "ipmmu: /mmu@e70000: Failed to init IPMMU (-1)"),
        ),
        (
            (ROOT.replace("reg =", "no-reg ="),),
            ("ipmmu: /mmu@e70000: Failed to get MMIO", "ipmmu: /mmu@e70000: Failed to init IPMMU (-22)"),
        ),
    ],
)
def test_ipmmus(parts: tuple[str, ...], lines: tuple[str, ...] | None) -> None:
    found = boot(*parts)
    assert (found.iommu, said(found)) == (lines is None, () if lines is None else (*lines, PANIC))

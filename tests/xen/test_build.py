"""What a build of Xen has or lacks, and what follows for a tree."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import InputError, UsageError
from dtanalyze.xen.build import DEFAULT, Build, build_named, read_build
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from tests.xen.build import blob
from tests.xen.test_start_xen import CPUS, GICV3, HEAD, TIMER

KERNEL = 'm@48000000 { compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x48000000 0 0x1000>; };'
DOMU = """chosen {{ #address-cells = <2>; #size-cells = <2>;
    domU1 {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0 0x40000>; cpus = <1>; {more} {kernel} }}; }};"""
STATIC = (
    "xen,static-mem = <0 0x60000000 0 0x10000000>; #xen,static-mem-address-cells = <2>; #xen,static-mem-size-cells = <2>;"
)
SHM = """shm@0 { compatible = "xen,domain-shared-memory-v1"; xen,shm-id = "a"; xen,shared-mem = <0 0x70000000 0 0x70000000 0 0x200000>; };"""
SMMU3 = """smmu@9000000 { compatible = "arm,smmu-v3"; #iommu-cells = <1>; reg = <0 0x9000000 0 0x20000>; };"""
SMMU2 = """smmu@9000000 { compatible = "arm,mmu-500"; reg = <0 0x9000000 0 0x20000>; #global-interrupts = <1>;
    interrupts = <0 100 4>, <0 101 4>; };"""


def boot(body: str, release: str, build: Build, iommu: bool | None = None) -> Prediction:
    options = XenOptions(build=build, iommu=iommu)
    tree = parse(blob(HEAD + CPUS + TIMER + GICV3 + body))
    return predict(prepare(tree, options), preset(release), options)[0]


def lines(more: str, release: str, build: Build) -> tuple[str, ...] | None:
    stop = boot(DOMU.format(more=more, kernel=KERNEL), release, build).stopped_by
    return stop.lines if stop else None


FAILED = "Early FDT parsing failed (-22)"
NO_MEMORY = "CONFIG_STATIC_MEMORY must be enabled for parsing xen,static-mem"
NO_SHM = "CONFIG_STATIC_SHM must be enabled for parsing static shared memory nodes"


@pytest.mark.parametrize(
    ("more", "release", "expected"),
    [
        # booted: 22h, 22h2, 22f on Debian's packages
        (STATIC, "4.20", (NO_MEMORY, FAILED)),
        (STATIC, "4.17", ("Device tree generation failed (-2).", "Could not set up domain domU1")),
        (STATIC + "direct-map;", "4.17", ("direct-map is not valid for domain domU1 without static allocation.",)),
        (SHM, "4.20", (NO_SHM, FAILED)),
        (SHM, "4.17", None),
        # by their source: e888192d13 is in master, not in 4.22.0
        (STATIC, "4.22", ("Device tree generation failed (-2).", "Could not set up domain domU1 (rc = -22)")),
        (STATIC, "master", (NO_MEMORY, FAILED)),
    ],
)
def test_what_a_stock_build_lacks(more: str, release: str, expected: tuple[str, ...] | None) -> None:
    for name in ("stock", "debian"):
        assert lines(more, release, build_named(name)) == expected
    assert lines(more, release, read_build("CONFIG_STATIC_MEMORY=y\nCONFIG_STATIC_SHM=y\n")) is None
    assert lines(more, release, DEFAULT) is None, "whoever writes it into a tree has built Xen for it"


def test_an_iommu_that_the_build_cannot_drive() -> None:
    stock = boot(SMMU3, "4.22", build_named("stock"))
    assert not stock.iommu
    assert any("/smmu@9000000 needs CONFIG_ARM_SMMU_V3, which a stock build lacks" in note for note in stock.assumed)
    presumed = boot(SMMU3, "4.22", DEFAULT)
    assert presumed.iommu
    assert any("taken to be built with CONFIG_ARM_SMMU_V3, which is off by default" in note for note in presumed.assumed)
    assert boot(SMMU3, "4.22", read_build("CONFIG_ARM_SMMU_V3=y\n")).iommu
    assert boot(SMMU3, "4.22", build_named("stock"), iommu=True).iommu, "who says that it is used has built it"
    assert boot(SMMU2, "4.22", DEFAULT).iommu
    off = boot(SMMU2, "4.22", read_build("# CONFIG_ARM_SMMU is not set\n"))
    assert not off.iommu


def test_a_controller_that_the_build_cannot_drive() -> None:
    stop = boot("", "4.22", read_build("# CONFIG_GICV3 is not set\n")).stopped_by
    assert stop is not None and stop.stage == "interrupt-controller"
    assert stop.because == "/gic@8000000 needs a driver that the configuration given lacks"
    assert boot("", "4.22", read_build("CONFIG_NEW_VGIC=y\nCONFIG_GICV2=y\n")).stopped_by is not None


def test_reading_a_configuration() -> None:
    piece = read_build("CONFIG_STATIC_MEMORY=y\n")
    assert piece.has("STATIC_MEMORY") and piece.has("GICV3") and not piece.has("STATIC_SHM"), "the rest has its default"
    off = read_build("# CONFIG_HAS_PL011 is not set\nCONFIG_ARM_SMMU=n\n")
    assert not off.has("HAS_PL011") and not off.has("ARM_SMMU")
    for text in ("", "hello", "CONFIG_FOO=y\n", "\0" * 10):
        with pytest.raises(InputError, match="no line of it"):
            read_build(text)
    with pytest.raises(InputError, match="of Linux, not of Xen"):
        read_build("CONFIG_XEN=y\nCONFIG_KALLSYMS=y\nCONFIG_ACPI=y\n")
    with pytest.raises(UsageError, match="there are stock, debian"):
        build_named("fedora")


def test_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from dtanalyze.cli import main

    tree, config = tmp_path / "host.dtb", tmp_path / ".config"
    tree.write_bytes(blob(HEAD + CPUS + TIMER + GICV3 + DOMU.format(more=STATIC, kernel=KERNEL)))
    config.write_text("CONFIG_STATIC_MEMORY=y\n")
    for argv, status, said in (
        (("--xen-build", "stock"), 1, FAILED),
        (("--xen-config", str(config)), 0, ""),
        (("--xen-build", "stock", "--xen-config", str(config)), 2, "give one of them"),
        (("--xen-build", "mine"), 2, "no build of Xen is called 'mine'"),
        (("--xen-config", str(tree)), 2, "host.dtb"),
    ):
        with pytest.raises(SystemExit) as left:
            main(["predict", str(tree), "--xen", "4.20", "-q", *argv])
        printed = capsys.readouterr()
        assert (left.value.code or 0) == status, argv
        assert said in printed.out + printed.err

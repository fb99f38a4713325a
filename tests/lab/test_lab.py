"""The parts of the lab that need no QEMU: what is laid where, what a boot left, what is missing."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.devicetree.blob import parse
from dtanalyze.errors import UsageError
from lab import command, run
from lab import machine as machine_module
from lab.case import Case, case_of, read_cases
from lab.host_tree import grant_table, host_tree, images_of
from lab.initramfs import initramfs
from lab.kernel_image import EMPTY_IMAGE
from lab.machine import Machine, MachineError, boot, boot_loader
from lab.packages import Package
from lab.random_cases import random_case
from lab.record import record_of, sections_of
from lab.releases import XenBuild
from tests.trees import dtb

MIB = 1 << 20
BOARD = dtb(
    '#address-cells = <2>; #size-cells = <2>; model = "board"; memory@40000000 { device_type = "memory"; '
    'reg = <0 0x40000000 0 0x1000>; }; pl011@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; }; '
    "chosen { kaslr-seed = <1 2>; };"
)


def test_the_dozen_can_be_read_and_placed() -> None:
    cases = read_cases(Path(command.__file__).parent / "cases.toml")
    assert len({case.name for case in cases}) == len(cases) == 12
    for case in cases:
        placed = case.placed(tree=64 << 10, kernel=40 * MIB, ramdisk=3 * MIB)
        assert placed.kernel is not None and any(bank.covers(placed.kernel) for bank in case.ram)


@pytest.mark.parametrize("linux", [False, True])
def test_what_is_laid_down_overlaps_nothing(linux: bool) -> None:
    for seed in range(200):
        case = random_case(seed, linux=linux)
        assert case == random_case(seed, linux=linux), "a seed is a case"
        placed = case.placed(tree=64 << 10, kernel=40 * MIB if linux else 64 << 10, ramdisk=3 * MIB if linux else 0)
        laid = [AddressRange(placed.xen, 2 * MIB), AddressRange(placed.tree, 64 << 10), AddressRange(placed.stub, 4096)]
        laid += [item for item in (placed.kernel, placed.ramdisk) if item is not None]
        kept = [item.range for item in case.reserved] + list(case.memreserve)
        for number, one in enumerate(laid):
            assert any(bank.covers(one) for bank in case.ram)
            assert not any(one.overlaps(other) for other in laid[number + 1 :] + kept)


def test_a_case_that_cannot_be() -> None:
    for table, words in (
        ({"name": "a/b"}, "can name a folder"),
        ({"name": "x", "colour": 1}, "x: no such key: colour"),
        ({"name": "x", "ram": ["0x40000000"]}, "is not a range"),
    ):
        with pytest.raises(UsageError, match=words):
            case_of(table)


def test_the_tree_says_what_the_case_says() -> None:
    case = case_of(
        {
            "name": "x",
            "ram": ["0x40000000+1G", "0x100000000+1G"],
            "reserved": ["0x48000000+1M no-map"],
            "dom0_mem": "512M",
            "nodes": 'pl011@9000000 { status = "disabled"; };',
        }
    )
    placed = case.placed(tree=4096, kernel=4096, ramdisk=0)
    tree = parse(host_tree(BOARD, case, placed))
    memory = [node.path for node in tree.root.children if node.base_name == "memory"]
    assert memory == ["/memory@40000000", "/memory@100000000"], "the board's own node is gone"
    uart, chosen = tree.find("/pl011@9000000"), tree.find("/chosen")
    assert uart is not None and not uart.available and uart.compatible == ("arm,pl011",), "merged, not replaced"
    assert chosen is not None and "kaslr-seed" not in chosen.properties
    kept = tree.find("/reserved-memory/reserved@48000000")
    assert kept is not None and "no-map" in kept.properties
    (image,) = images_of(tree)
    assert (image.kind, image.address, image.size) == ("kernel", placed.kernel.start if placed.kernel else 0, 4096)


@pytest.mark.parametrize(("line", "frames"), [("", 64), ("gnttab_max_frames=128", 128), ("gnttab_max_frames=0", 64)])
def test_the_grant_table_is_as_large_as_xens_line_says(line: str, frames: int) -> None:
    tree = parse(dtb(f'chosen {{ xen,xen-bootargs = "{line}"; }};'))
    assert grant_table(tree, 0x50E00000) == AddressRange(0x50E00000, frames * 4096)


def test_a_module_without_content_is_not_laid_over_qemus_own_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorded: QEMU keeps a tree at the start of its RAM, and takes no second image there; a module of zeros is RAM as it is."""
    started: list[Machine] = []
    monkeypatch.setattr(run, "boot", lambda machine, **_: started.append(machine))
    modules = "".join(
        f'module@{at:x} {{ compatible = "multiboot,{kind}"; reg = <{at:#x} 0x1000>; }};'
        for kind, at in (("kernel", 0x43780000), ("ramdisk", 0x40050000))
    )
    tree = dtb(f"chosen {{ #address-cells = <1>; #size-cells = <1>; {modules} }};")
    machine = Machine("virt", "max", 1, 1024, 0x50E00000, 0x65C00000, (), 0x40550000)
    run.start_tree(machine, tree, {})
    run.start_tree(machine, tree, {"ramdisk": b"cpio"})
    assert [dict(item.images) for item in started] == [
        {0x65C00000: tree, 0x43780000: EMPTY_IMAGE},
        {0x65C00000: tree, 0x43780000: EMPTY_IMAGE, 0x40050000: b"cpio"},
    ]


def test_a_qemu_that_leaves_at_once_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    qemu = tmp_path / "qemu"
    qemu.write_text("#!/bin/sh\nexec >&-\nsleep 0.3\necho 'Some ROM regions are overlapping' >&2\nexit 1\n")
    qemu.chmod(0o755)
    monkeypatch.setattr(machine_module, "QEMU", str(qemu))
    with pytest.raises(MachineError, match="ROM regions are overlapping"):
        boot(Machine("virt", "max", 1, 64, 0x40000000, 0x41000000, (), 0x42000000))


def test_the_boot_loader_is_six_instructions_and_two_numbers() -> None:
    """Decoded by hand: ldr x0/x4 literal, mov x1..x3 #0, br x4 (Arm ARM, C6.2)."""
    code = boot_loader(0x1122334455667788, 0x99AABBCCDDEEFF00)
    words = struct.unpack_from("<6I", code)
    for place, register, wanted in ((0, 0, 0x99AABBCCDDEEFF00), (4, 4, 0x1122334455667788)):
        word = words[place]
        assert word >> 24 == 0x58 and word & 31 == register
        offset = 4 * place + 4 * (word >> 5 & 0x7FFFF)
        assert struct.unpack_from("<Q", code, offset)[0] == wanted
    assert [word & ~31 for word in words[1:4]] == [0xD2800000] * 3 and [word & 31 for word in words[1:4]] == [1, 2, 3]
    assert words[5] == 0xD61F0000 | 4 << 5


def test_the_empty_kernel_is_an_arm64_image() -> None:
    assert EMPTY_IMAGE[56:60] == b"ARM\x64"
    assert struct.unpack_from("<Q", EMPTY_IMAGE, 16)[0] == len(EMPTY_IMAGE)


def test_an_initramfs_is_a_newc_archive() -> None:
    archive = initramfs(b"busy", b"trigger", {"xen-gntdev": b"module"})
    names, at = [], 0
    while archive[at : at + 6] == b"070701":
        size, length = int(archive[at + 54 : at + 62], 16), int(archive[at + 94 : at + 102], 16)
        names.append(archive[at + 110 : at + 110 + length - 1].decode())
        at = (at + 110 + length + 3) // 4 * 4
        at = (at + size + 3) // 4 * 4
    assert at == len(archive) and names[-1] == "TRAILER!!!"
    assert {"bin/busybox", "modules/xen-gntdev.ko", "trigger", "init"} <= set(names)


CONSOLE = """\
(XEN) Xen version 4.20.5-pre (x)
(XEN) Grant table range: 0x00000040400000-0x00000040440000
(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB)
(XEN) Freed 368kB init memory.
@@lab iomem-before.txt
60000000-7fffffff : System RAM
@@lab requests.txt
lab: g:1 errno 0
(XEN) grant_table.c:1: d0 bad ref
lab: p:70000 errno 12
@@lab iomem-after.txt
48000000-4fffffff : Xen scratch
60000000-7fffffff : System RAM
@@lab end
"""


def test_what_a_boot_left_is_taken_apart() -> None:
    assert sections_of(CONSOLE)["requests.txt"] == "lab: g:1 errno 0\nlab: p:70000 errno 12\n"
    found = record_of(Case("x", linux="6.12"), {"xen": "1", "linux": "2"}, b"", CONSOLE, None)
    assert found.record["outcome"] == "scratch" and found.record["scratch_inclusive"] == [["0x48000000", "0x4fffffff"]]
    assert [(item["via"], item["pages"], item["ok"]) for item in found.record["requests"]] == [
        ("gntdev", 1, True),
        ("privcmd", 70000, False),
    ]
    assert found.files["iomem-before.txt"] == b"60000000-7fffffff : System RAM\n"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert command.main(["run"]) == 3
    assert capsys.readouterr().err == "lab: qemu-system-aarch64 is not there: apt-get install qemu-system-arm\n"


def test_a_qemu_that_fails_is_no_difference(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CI must not take it for one: status 3, one line."""
    fake = tmp_path / "qemu-system-aarch64"
    fake.write_text("#!/bin/sh\nexit 7\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("lab.run.xen_image", lambda *_: XenBuild(Package("xen", "1"), b"", ""))
    status = command.main(["--cache", str(tmp_path / "c"), "run", "--only", "plain-417", "--out", str(tmp_path / "o")])
    assert status == 3 and "exit status 7" in capsys.readouterr().err

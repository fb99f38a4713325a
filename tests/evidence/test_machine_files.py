"""Linux's log, memblock's debug files, xl info, the firmware's map, and what shows that a file is another board's."""

from __future__ import annotations

from pathlib import Path

import pytest

from dtanalyze.evidence.bundle import Named, memblock_ranges, version_of
from dtanalyze.evidence.lines import lines_of
from dtanalyze.evidence.linux_console import read_linux_console
from tests.evidence.test_verify import NAME, differing, evidence, verify

DMESG = """\
[    0.000000] Booting Linux on physical CPU 0x0000000000 [0x411fd070]
[    0.000000] Linux version 6.12.117+deb13-arm64 (x) (gcc) #1 SMP
[    0.000000] KASLR enabled
[    0.000000] Machine model: ZynqMP ZCU102 Rev1.0
[    0.000000] Xen 4.20 support found
[    0.000000] efi: mem00: [Conventional Memory|   |  |  |  |  |  |  |  |  |   |WB|WT|WC|UC] range=[0x0000000040000000-0x0000000047ffffff] (128MB)
[    0.000000] efi: mem01: [Runtime Data       |RUN|  |  |  |  |  |  |  |  |   |WB|WT|WC|UC] range=[0x0000000048000000-0x00000000480fffff] (1MB)
[    0.000000] efi: mem02: [Boot Data          |   |  |  |  |  |  |  |  |  |   |WB|WT|WC|UC] range=[0x0000000048100000-0x000000004fffffff] (127MB)
[    0.000000]   node   0: [mem 0x0000000060000000-0x000000007fffffff]
[    0.000000] Kernel command line: console=hvc0 mem=1G
[    0.160044] No extended regions are found
[    0.161008] xen:unpopulated: Cannot initialize target resource
"""


@pytest.mark.parametrize("prefix", ["", "<6>", "Nov 25 03:45:45 host kernel: ", "> "])
def test_linux_says_what_it_runs_on(prefix: str) -> None:
    seen = read_linux_console(lines_of("\r\n".join(prefix + line for line in DMESG.splitlines())))
    assert seen.release is not None and (seen.release.value, seen.release.line) == ("6.12.117+deb13-arm64", 2)
    assert seen.kaslr is not None and seen.kaslr.value
    assert seen.model is not None and seen.model.value == "ZynqMP ZCU102 Rev1.0"
    assert seen.xen is not None and (seen.xen.value, seen.xen.line) == ("4.20", 5)
    assert [(hex(item.value.start), hex(item.value.stop)) for item in seen.ram] == [("0x60000000", "0x80000000")]
    assert seen.without_target is not None and seen.without_target.line == 12
    ram = [(hex(item.start), hex(item.stop)) for item in seen.efi_ram]
    assert ram == [("0x40000000", "0x48000000"), ("0x48100000", "0x50000000")]


def test_only_the_last_boot_of_linux_counts() -> None:
    seen = read_linux_console(lines_of(DMESG + DMESG.replace("KASLR enabled", "KASLR disabled due to lack of seed")))
    assert seen.boots == 2 and seen.kaslr is not None and not seen.kaslr.value and len(seen.ram) == 1


def test_memblock_and_xl_info() -> None:
    named = Named(
        "m", "   0: 0x0000000060000000..0x000000006fffffff    0 NONE\n   1: 0x0000000070000000..0x000000007fffffff\n"
    )
    assert [(hex(item.start), hex(item.stop)) for item in memblock_ranges(named)] == [
        ("0x60000000", "0x70000000"),
        ("0x70000000", "0x80000000"),
    ]
    info = "host                   : board\nxen_major              : 4\nxen_version            : 4.20.5-pre\n"
    assert version_of(Named("i", info)) == "4.20.5"


@pytest.mark.parametrize(("last", "wanted"), [("7fffffff", []), ("77ffffff", ["memblock"])])
def test_memblock_is_compared(last: str, wanted: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "memory").write_text(f"   0: 0x0000000060000000..0x00000000{last}\n")
    _, result = verify(capsys, *evidence(NAME, tmp_path), str(tmp_path / "memory"))
    assert differing(result) == wanted
    assert "memblock" in [item["what"] for item in result["comparisons"]]


def test_another_boards_iomem_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = evidence(NAME, tmp_path)
    (tmp_path / "d").write_text("880000000-8ffffffff : System RAM\n")
    status, result = verify(capsys, *paths)
    assert status == 1
    assert result["wrong_pairing"] == f"{paths[3]} is of another board than {paths[1]}: none of its RAM is RAM in the tree"


def test_an_iomem_read_without_privilege_settles_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = evidence(NAME, tmp_path)
    (tmp_path / "d").write_text("00000000-00000000 : System RAM\n  00000000-00000000 : Kernel code\n")
    status, result = verify(capsys, *paths)
    assert status == 0
    assert any(item["cause"] == "read it as root" and item["agrees"] is None for item in result["comparisons"])

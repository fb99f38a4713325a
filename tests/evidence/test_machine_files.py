"""Linux's log, memblock's debug files, xl info, the firmware's map, and what shows that a file is another board's."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from dtanalyze.evidence import lines
from dtanalyze.evidence.bundle import Named, memblock_ranges, version_of
from dtanalyze.evidence.lines import lines_of, read_lines
from dtanalyze.evidence.linux_console import TELLING, read_linux_console
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


FORMS: dict[str, Callable[[int, str], str]] = {
    "dmesg -t": lambda _, text: text,
    "dmesg -T": lambda _, text: f"[Mon Jan  2 03:04:05 2026] {text}",
    "dmesg -xT": lambda _, text: f"kern  :info  : [Mon Jan  2 03:04:05 2026] {text}",
    "dmesg -H": lambda number, text: f"[Jan 2 03:04] {text}" if number == 0 else f"[  +0.{number:06}] {text}",
    "dmesg -d": lambda number, text: f"[    0.{number:06} <    0.000001>] {text}",
    "dmesg --time-format iso": lambda number, text: f"2026-01-02T03:04:05,{number:06}+00:00 {text}",
    "journalctl": lambda _, text: f"Jan 02 03:04:05 board kernel: {text}",
    "journalctl -o short-iso": lambda _, text: f"2026-01-02T03:04:05+0000 board kernel: {text}",
    "journalctl -o short-monotonic": lambda number, text: f"[    0.{number:06}] board.local kernel: {text}",
    "/dev/kmsg": lambda number, text: f"6,{number},{number},-;{text}",
    "printk with a caller": lambda number, text: f"[    0.{number:06}][    T0] {text}",
    "in Xen's log of a guest": lambda number, text: f"(d1) [    0.{number:06}] {text}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_kernels_log_in_every_form(form: str) -> None:
    texts = [line[15:] for line in DMESG.splitlines()]
    seen = read_linux_console(lines_of("\n".join(FORMS[form](number, text) for number, text in enumerate(texts))))
    clean = read_linux_console(lines_of(DMESG))
    assert seen == clean and clean.command_line is not None and len(clean.refused) == 2


def test_blocks_between_the_lines_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "_BLOCK", 1 << 16)
    noise = b"[  123.456789] a line of a driver that says nothing of note\n"
    much = noise * (2 * (1 << 16) // len(noise))
    text = b"".join(line.encode() + b"\n" + much for line in DMESG.splitlines())
    seen, clean = read_linux_console(read_lines(io.BytesIO(text), b"", TELLING)), read_linux_console(lines_of(DMESG))
    assert seen.release is not None and seen.release.line == much.count(b"\n") + 2
    for name in ("release", "model", "command_line", "xen", "kaslr"):
        assert getattr(seen, name).value == getattr(clean, name).value
    for name in ("ram", "efi", "refused"):
        assert [item.value for item in getattr(seen, name)] == [item.value for item in getattr(clean, name)] != []


def test_a_guests_kernel_is_not_dom0s() -> None:
    """Booted with a dom0 and a domain of /chosen: Xen puts (d1) before the domain's lines, which come last."""
    other = "".join(f"(d1) {line}\n" for line in DMESG.replace("6.12.117+deb13-arm64", "5.10.0").splitlines())
    seen = read_linux_console(lines_of(DMESG + other))
    assert seen.release is not None and seen.release.value == "6.12.117+deb13-arm64" and seen.boots == 1


def test_what_a_user_prints_is_no_boot() -> None:
    seen = read_linux_console(lines_of(DMESG + "# cat /proc/version\nLinux version 5.10.0 (x) (gcc) #1 SMP\n"))
    assert seen.release is not None and seen.release.value == "6.12.117+deb13-arm64" and seen.xen is not None


@pytest.mark.parametrize("columns", [60, 76, 80])
def test_a_wrapped_command_line_of_linux(columns: int) -> None:
    text = "[    0.000000] Kernel command line: console=hvc0 earlycon=xen root=/dev/mmcblk0p2 rw rootwait clk_ignore_unused"
    lines = "\n".join(text[at : at + columns] for at in range(0, len(text), columns))
    seen = read_linux_console(lines_of(f"{lines}\n[    0.000000] Memory: 1G"))
    assert seen.command_line is not None
    assert "".join(seen.command_line.value.split()) == "".join(text.split(": ")[1].split())


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

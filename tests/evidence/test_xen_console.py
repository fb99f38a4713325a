"""Xen's console: recorded lines, in all the states in which people send them."""

from __future__ import annotations

import io
import json
import quopri
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.errors import InputError
from dtanalyze.evidence import lines
from dtanalyze.evidence.lines import Fact, lines_of, read_lines
from dtanalyze.evidence.xen_console import TELLING, XenConsole, read_xen_console
from tests.evidence.noise import NOISE, all_noise

FIXTURES = Path(__file__).parents[2] / "fixtures"
BOOTS = {path.stem: json.loads(path.read_text()) for path in sorted((FIXTURES / "boots").glob("*.json"))}
CHANGED = ("extreg=", "gnttabreg=", "extregcut=")  # marks a Xen that was changed to write given regions
PRINTED = {
    name: boot
    for name, boot in BOOTS.items()
    if any("xtended region" in line for line in boot["xen_messages"])
    and not any(word in boot["xen_cmdline"] for word in CHANGED)
}


def console(text: str) -> XenConsole:
    return read_xen_console(lines_of(text))


def whole(boot: dict[str, Any]) -> str:
    return "\n".join([f"(XEN) Xen version {boot['xen_version']} (Debian) (gcc) debug=n", *boot["xen_messages"]])


def pairs(ranges: tuple[AddressRange, ...]) -> list[list[str]]:
    return [[hex(item.start), hex(item.stop)] for item in ranges]


@pytest.mark.parametrize(("noise", "change"), all_noise(), ids=[name for name, _ in all_noise()])
def test_recorded_regions_in_every_state(noise: str, change: Any) -> None:
    """``extended_regions`` was decoded from the guest's tree, not from these lines."""
    assert len(PRINTED) > 25
    for name, boot in PRINTED.items():
        seen = console(change(whole(boot)))
        domain = "d0" if boot["guest"] == "dom0" else "d1"
        assert pairs(seen.regions_of(domain)) == boot["extended_regions"], (name, noise)
        assert seen.version is not None and seen.version.value == boot["xen_version"]
        if domain == "d0":
            assert seen.grant_table is not None
            assert pairs((seen.grant_table.value,)) == [boot["grant_table"]], (name, noise)


EARLY = """\
(XEN) Checking for initrd in /chosen
(XEN) RAM: 0000000040000000 - 00000000bfffffff
(XEN)
(XEN) MODULE[0]: 0000000040400000 - 00000000405390c8 Xen
(XEN) MODULE[1]: 0000000044000000 - 0000000044002113 Device Tree
(XEN)  RESVD[0]: 0000000048000000 - 0000000048100000
(XEN)  RESVD[1]: 0000000050000000 - 00000000501fffff
(XEN) Command line: console=dtuart dom0_mem=512M
(XEN) Xen version 4.16.7 (gcc) debug=n
(XEN) Brought up 4 CPUs
(XEN) I/O virtualisation enabled
(XEN) P2M: 40-bit IPA with 40-bit PA and 16-bit VMID
(XEN) Grant table range: 0x00000040400000-0x00000040440000
(XEN) Allocating 1:1 mappings totalling 512MB for dom0:
(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB)
(XEN) Extended region 0: 0x80000000->0xbfe00000
(XEN) Allocating mappings totalling 256MB for d1:
(XEN) d1 BANK[0] 0x00000040000000-0x00000050000000 (256MB)
(XEN) d1: extended region 0: 0x50000000->0x100000000
(XEN) Unable to retrieve address 0 for /soc/usb@1,0
(XEN) Platform: Xilinx ZynqMP
"""


def test_each_fact_knows_its_line() -> None:
    seen = console(EARLY)
    assert [(item.line, hex(item.value.stop)) for item in seen.ram] == [(2, "0xc0000000")]
    assert [(item.line, item.value.kind, hex(item.value.range.stop)) for item in seen.modules] == [
        (4, "Xen", "0x405390c8"),
        (5, "Device Tree", "0x44002113"),
    ]
    assert [(item.line, hex(item.value.size)) for item in seen.reserved] == [(6, "0x100000"), (7, "0x200000")]
    assert seen.command_line is not None and seen.command_line.value == "console=dtuart dom0_mem=512M"
    assert seen.iommu is not None and (seen.iommu.value, seen.iommu.line) == (True, 11)
    assert seen.ipa_bits is not None and seen.ipa_bits.value == 40
    assert seen.cpus is not None and seen.cpus.value == 4
    assert pairs(seen.banks_of("d0")) == [["0x60000000", "0x80000000"]]
    assert pairs(seen.banks_of("d1")) == [["0x40000000", "0x50000000"]]
    assert pairs(seen.regions_of("d0")) == [["0x80000000", "0xbfe00000"]], "4.16 names no domain"
    assert pairs(seen.regions_of("d1")) == [["0x50000000", "0x100000000"]]
    assert seen.regions[0].line == 16


def test_module_ends_are_inclusive_where_xens_own_shows_it() -> None:
    text = EARLY.replace("405390c8", "40539fff").replace("44002113", "44002112")
    assert [hex(item.value.range.stop) for item in console(text).modules] == ["0x4053a000", "0x44002113"]


def test_the_last_boot_counts_but_not_one_that_has_only_begun() -> None:
    second = EARLY.replace("4.16.7", "4.20.5-pre")
    both = console(EARLY + second)
    assert (both.boots, both.boot) == (2, 2) and both.version is not None and both.version.value == "4.20.5-pre"
    assert both.ram[0].line == EARLY.count("\n") + 2 and len(both.ram) == 1
    begun = console(EARLY + "(XEN) Checking for initrd in /chosen\n(XEN) RAM: 0000000080000000 - 00000000bfffffff\n")
    assert (begun.boots, begun.boot) == (2, 1) and begun.ram[0].value.start == 0x40000000


PANIC = """\
(XEN) Xen version 4.20.4 (gcc) debug=n
(XEN) Unable to retrieve address 0 for /bus@148000000/dev@20000
(XEN)
(XEN) ****************************************
(XEN) Panic on CPU 0:
(XEN) Could not set up DOM0 guest OS (rc = -22)
(XEN) ****************************************
"""


@pytest.mark.parametrize(("noise", "change"), NOISE.items(), ids=NOISE.keys())
def test_what_stopped_it(noise: str, change: Any) -> None:
    seen = console(change(PANIC))
    assert seen.ended is not None and seen.ended.value == "Could not set up DOM0 guest OS (rc = -22)"
    assert seen.started is None
    done = console(change("(XEN) *** Serial input to DOM0 (type 'CTRL-a' three times to switch input)"))
    assert done.started is not None and done.ended is None


def test_no_log_is_one_sentence() -> None:
    with pytest.raises(InputError, match="it is not a Xen boot log"):
        console("[    0.000000] Booting Linux on physical CPU 0x0\n" * 3)


def test_a_line_without_end_costs_no_memory() -> None:
    stream = io.BytesIO(b"x" * (1 << 20) + b"\n" + EARLY.encode())
    lines = list(read_lines(stream))
    assert max(len(line.text) for line in lines) <= 1 << 16
    assert read_xen_console(iter(lines)).ram[0].value == AddressRange(0x40000000, 0x80000000)


def test_a_log_that_repeats_itself_stays_small() -> None:
    seen = console("(XEN) RAM: 0000000040000000 - 00000000bfffffff\n" * 10000)
    assert len(seen.ram) == 4096


def test_only_lines_near_xens_are_looked_at() -> None:
    """A wrapped line keeps its rest, and numbers stay those of the file."""
    guest = b"[    1.0] a guest's line\n" * 1000
    text = (
        guest
        + b"(XEN) d0: extended region 0: 0x40600000->0x5f\ne00000\n"
        + guest
        + b"(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB)\n"
    )
    seen = read_xen_console(read_lines(io.BytesIO(text), b"(XEN)"))
    assert [(item.line, hex(item.value.range.stop)) for item in seen.regions] == [(1001, "0x5fe00000")]
    assert [item.line for item in seen.banks] == [2003]


@pytest.mark.parametrize("noise", [b"[  123.456789] a guest's line\n", b"(XEN) d1v0: vGICD: unhandled word write\n"])
def test_blocks_between_the_lines_change_nothing(noise: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line that tells something stands alone between two blocks of others, of which most are only counted."""
    monkeypatch.setattr(lines, "_BLOCK", 1 << 16)
    much = noise * (2 * (1 << 16) // len(noise))
    kept = [*EARLY.splitlines(), "(XEN) Panic on CPU 0:", "(XEN) Could not set up DOM0 guest OS (rc = -22)"]
    # What Xen died of follows at once.
    text = b"".join(line.encode() + b"\n" + (b"" if "Panic" in line else much) for line in kept)
    seen, alone = read_xen_console(read_lines(io.BytesIO(text), b"(XEN)", TELLING)), console("\n".join(kept))
    step = 1 + much.count(b"\n")
    for name, value in alone._asdict().items():
        for there, fact in zip(facts(getattr(seen, name)), facts(value), strict=True):
            assert (there.value, there.line) == (fact.value, (fact.line - 1) * step + 1 - (name == "ended") * (step - 1)), name
    empty = {name for name, value in alone._asdict().items() if not value}
    assert empty <= {"package", "refused", "started"}, "the log has a line of each kind"


def facts(value: Any) -> list[Fact[Any]]:
    return [item for item in (value if type(value) is tuple else [value]) if isinstance(item, Fact)]


LINE = "console=dtuart dtuart=serial0 dom0_mem=1600M dom0_max_vcpus=2 bootscrub=0 vwfi=native sched=null gnttab_max_frames=75"


@pytest.mark.parametrize(("noise", "change"), all_noise(), ids=[name for name, _ in all_noise()])
def test_a_command_line_in_every_state(noise: str, change: Any) -> None:
    """Where it is wrapped, options of the second half decide too: dom0_mem, in a log found on a mailing list."""
    seen = console(change(f"(XEN) Command line: {LINE}\n(XEN) Domain heap initialised"))
    assert seen.command_line is not None and seen.command_line.value.strip() == LINE, noise


@pytest.mark.parametrize("columns", range(24, 140))
def test_a_command_line_wrapped_anywhere(columns: int) -> None:
    text = f"(XEN) Command line: {LINE}"
    lines = "\n".join(text[at : at + columns] for at in range(0, len(text), columns))
    seen = console(f"{lines}\n(XEN) Domain heap initialised")
    assert seen.command_line is not None and seen.command_line.value == LINE


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(XEN) Command line: <NULL>\n(XEN) x", ""),
        ("(XEN) Command line: dom0_mem=75M\n[    0.000000] Booting Linux", "dom0_mem=75M"),
        ("(XEN) Command line: dom0_mem=1G\nI/TC: Added guest 1\n(XEN) x", "dom0_mem=1G"),
        ("(XEN) Command line: dom0_mem=1G\n\nsched=null\n", "dom0_mem=1G"),
    ],
)
def test_a_command_line_that_is_whole(text: str, value: str) -> None:
    seen = console(text)
    assert seen.command_line is not None and seen.command_line.value == value


@pytest.mark.parametrize(
    "line",
    [
        "Assertion 's <= e' failed at rangeset.c:189",
        "Xen BUG at common/page_alloc.c:1393",
        "CPU0: Unexpected Trap: Data Abort",
    ],
)
def test_a_log_that_ends_before_the_panic_is_printed(line: str) -> None:
    seen = console(f"(XEN) Xen version 4.16-rc (x)\n(XEN) {line}\n(XEN) ----[ Xen-4.16-rc  arm64  debug=y  Not tainted ]----")
    assert seen.ended is not None and (seen.ended.value, seen.ended.line) == (line, 2)


def test_a_panic_that_mail_has_cut() -> None:
    words = "Failed to allocate requested domain memory. 4194304KB unallocated. Fix the VMs configurations."
    text = quopri.encodestring(f"(XEN) Panic on CPU 0:\n(XEN) {words}\n(XEN) ****\n".encode()).decode()
    seen = console(text)
    assert seen.ended is not None and words.startswith(seen.ended.value) and len(seen.ended.value) > 60


def test_trailing_blanks_as_mail_encodes_them() -> None:
    seen = console("(XEN) MODULE[0]: 0000000000e00000 - 0000000000f31fff Xen=20\n(XEN) Command line: a=3Db c=3D=\nd\n")
    assert [item.value.kind for item in seen.modules] == ["Xen"]
    assert seen.command_line is not None and seen.command_line.value == "a=b c=d"


@pytest.mark.parametrize("end", ["=0D", "=20", "=A0", "=C2=A0=0D", " <--- the bank that is lost", " <=="])
def test_what_stands_behind_a_line_in_mail(end: str) -> None:
    """Carriage returns and blanks as quoted-printable has them, though no = of the line tells; arrows that people draw."""
    seen = console(f"(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB){end}\n(XEN)=A0 RESVD[0]: 0000000050000000 - 00000000501fffff{end}\n")
    assert [(item.line, hex(item.value.range.start)) for item in seen.banks] == [(1, "0x60000000")]
    assert [(item.line, item.value.size) for item in seen.reserved] == [(2, 0x200000)]


def test_blanks_that_do_not_break() -> None:
    seen = console("(XEN)\xa0RAM: 0000000040000000 - 00000000bfffffff\n(XEN)\xa0\xa0RESVD[0]: 0000000050000000 - 00000000501fffff")
    assert len(seen.ram) == len(seen.reserved) == 1

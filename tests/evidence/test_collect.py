"""``collect``: one archive for a bug report, without what is nobody's business, and nothing else touched."""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.inputs.collecting import cleared
from dtanalyze.inputs.evidence_files import live_items
from tests.trees import dtb

FIXTURES = Path(__file__).parents[2] / "fixtures"
BOOTS = sorted(path.stem for path in (FIXTURES / "boots").glob("*.json"))

BOARD = dtb(
    'serial-number = "A1B2C3"; model = "board"; chosen { kaslr-seed = <1 2>; rng-seed = [01 02]; '
    'bootargs = "console=hvc0 serialno=77 token=abc"; }; '
    "ethernet@1000 { local-mac-address = [02 00 00 00 00 01]; mac-address = [00 00 00 00 00 00]; reg = <0x1000>; }; "
    "gpio-keys { key { linux,code = <1>; }; };"
)
LOG = """\
[    0.000000] Linux version 6.12.1 (ann@example.org) #1
[    1.000000] eth0: 02:00:00:00:00:01 up, 192.168.7.5/24, /home/ann/rootfs
[    1.100000] usb: Serial Number: 0042AB
[    1.200000] root=UUID=01234567-89ab-cdef-0123-456789abcdef serialno=9 password=hunter2
[    1.300000] Serial: AMBA PL011 UART driver
"""


def test_a_tree_keeps_its_shape() -> None:
    data, removed = cleared(BOARD)
    before, after = parse(BOARD), parse(data)
    assert removed == (
        "/:serial-number",
        "/chosen:kaslr-seed",
        "/chosen:rng-seed",
        "/chosen:bootargs",
        "/ethernet@1000:local-mac-address",
    )
    shape = [[(node.path, name, len(prop.value)) for name, prop in node.properties.items()] for node in before.root]
    kept = [[(node.path, name, len(prop.value)) for name, prop in node.properties.items()] for node in after.root]
    differing = {item for one, other in zip(shape, kept, strict=True) for item in set(one) ^ set(other)}
    assert {path for path, name, _ in differing} <= {"/chosen"}, "only the command line changed its length"
    assert b"A1B2C3" not in data and b"abc" not in data and b"console=hvc0" in data
    assert cleared(dtb('model = "board";')) == (dtb('model = "board";'), ())


def test_a_log_keeps_its_lines() -> None:
    data, removed = cleared(LOG.encode())
    text = data.decode()
    for secret in ("ann", "02:00:00", "192.168", "0042AB", "01234567-", "hunter2", "=9"):
        assert secret not in text
    assert text.count("\n") == LOG.count("\n") and "Linux version 6.12.1" in text and "Serial: AMBA" in text
    assert {item.split(" ", 1)[1] for item in removed} >= {"MAC addresses", "serial numbers", "keys", "UUIDs"}
    xen = b"(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB)\n(XEN) Xen version 4.20.4 (a@b.c) (gcc)\n"
    assert b"0x00000060000000-0x00000080000000" in cleared(xen)[0]


PRIVATE = """\
Jan 02 03:04:05 annsboard kernel: Booting Linux on physical CPU 0x0000000000 [0x411fd070]
2026-01-02T03:04:05.123456+0000 annsboard.local systemd[1]: Set hostname to <annsboard>.
[    0.000000] annsboard kernel: Linux version 6.12.1 (ann@buildbox) (gcc) #1 SMP
(XEN) Xen version 4.20.4 (ann@buildbox) (gcc (Debian 12.2.0) 12.2.0) debug=n
[    1.000000] usb 1-1: SerialNumber: 0042AB
[    1.000000] systemd[1]: Started Session 1 of user ann.
[    1.000000] eth0: fe80::1234:5678:9abc:def0/64, 2001:db8:0:1:2:3:4:5, 02-00-00-00-00-01, (192.168.7.5)
[    1.000000] Kernel command line: ip=192.168.7.5::192.168.7.1:255.255.255.0:annsboard:eth0 hostname=annsboard psk=hunter2
[    1.000000] root=PARTUUID=6c586e13-02 systemd.machine_id=0123456789abcdef0123456789abcdef
ann@annsboard:~# ls /media/ann/stick /Users/ann
host                   : annsboard
Serial\t\t: 0042AB
"""
KEPT = """\
(XEN) [2026-01-02 03:04:05.123] BANK[0] 0x00000060000000-0x00000080000000 (512MB)
(XEN) MODULE[0]: 0000000040400000 - 00000000405390c8 Xen
[    0.000000] efi: mem00: [Conventional Memory|   |  |  |  |  |  |  |  |  |   |WB|WT|WC|UC] range=[0x0000000040000000-0x0000000047ffffff]
[    0.000000] pci 0000:00:01.0: BAR 0: assigned [mem 0x10000000-0x10003fff]
[    0.000000] Linux version 6.12.117+deb13-arm64 (gcc (Debian 14.2.0) 14.2.0) #1 SMP Debian 6.12.117-1 (2026-01-02)
[    0.100000] kvm [1]: not available
[    0.100000] Serial: AMBA PL011 UART driver
  40400000-4043ffff : Xen grant table
xen_version            : 4.20.5-pre
CONFIG_XEN=y
"""


def test_nothing_private_is_left() -> None:
    text = cleared(PRIVATE.encode())[0].decode()
    for secret in (
        "ann",
        "buildbox",
        "0042AB",
        "fe80",
        "2001:db8",
        "02-00",
        "192.168",
        "hunter2",
        "6c586e13",
        "89abcdef0123",
    ):
        assert secret not in text.replace("scanned", ""), f"{secret}: {text}"
    assert text.count("\n") == PRIVATE.count("\n") and "Linux version 6.12.1 (REMOVED)" in text


def test_what_says_nothing_of_anybody_stays() -> None:
    assert cleared(KEPT.encode()) == (KEPT.encode(), ())


@pytest.mark.parametrize("name", BOOTS)
def test_verify_reads_the_same_from_a_cleared_log(name: str) -> None:
    """Recorded consoles and listings: nothing that is compared is taken out."""
    boot = json.loads((FIXTURES / "boots" / f"{name}.json").read_text())
    for lines in (boot["xen_messages"], boot["iomem_before"] or [], boot["kernel_messages"]):
        text = "\n".join(lines)
        assert cleared(text.encode())[0].decode() == text


def test_a_configuration_stays_as_it_is() -> None:
    data = b'# Automatically generated\nCONFIG_XEN=y\n\nCONFIG_MODULE_SIG_KEY="certs/signing_key.pem"\n'
    assert cleared(data) == (data, ())
    assert cleared(data + b"key=hunter2\n")[1] == ("2 keys",)


def test_the_list_does_not_say_where_a_file_lay(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "ann"
    folder.mkdir(parents=True)
    (folder / "dmesg.txt.gz").write_bytes(gzip.compress(LOG.encode()))
    out = tmp_path / "r.tar.gz"
    main_(["collect", "--no-live", str(out), str(folder / "dmesg.txt.gz")])
    with tarfile.open(out) as archive:
        assert archive.getnames() == ["dmesg.txt", "MANIFEST.txt"]
        data = b"".join(member.read() for item in archive if (member := archive.extractfile(item)) is not None)
        assert all((item.uid, item.uname, item.mode) == (0, "", 0o644) for item in archive.getmembers())
    assert b"ann" not in data and b"hunter2" not in data and b"Linux version 6.12.1" in data


def test_the_archive_lists_what_it_took(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "board.dtb").write_bytes(BOARD)
    (tmp_path / "dmesg.txt").write_text(LOG)
    out = tmp_path / "report.tar.gz"
    main_(["collect", "--no-live", str(out), str(tmp_path / "board.dtb"), str(tmp_path / "dmesg.txt")])
    with tarfile.open(out) as archive:
        assert archive.getnames() == ["board.dtb", "dmesg.txt", "MANIFEST.txt"]
        member = archive.extractfile("MANIFEST.txt")
        assert member is not None
        listed = member.read().decode()
    assert "removed: /chosen:kaslr-seed" in listed and "removed: 1 MAC addresses" in listed
    assert "removed: /chosen:kaslr-seed" in capsys.readouterr().out
    assert main_(["collect", "--no-live", str(out), str(tmp_path / "dmesg.txt")]) == 2, "nothing is ever replaced"
    assert "it is there already" in capsys.readouterr().err


def test_a_file_that_cannot_be_read_costs_only_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in (
        ("dmesg.txt", LOG.encode()),
        ("secret.zip", b"PK\x03\x04"),
        ("cut.tar", b"no archive"),
        ("broken.dtb", BOARD[:90]),
    ):
        (tmp_path / name).write_bytes(data)
    named = [str(tmp_path / name) for name in ("gone.txt", "cut.tar", "secret.zip", "broken.dtb", "dmesg.txt")]
    out = tmp_path / "r.tar.gz"
    assert main_(["collect", "--no-live", str(out), *named]) == 2, "the archive is not what was asked for"
    said = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"dtanalyze: {tmp_path}/").split(":")[0] for line in said] == [
        "gone.txt",
        "cut.tar",
        "secret.zip",
        "broken.dtb",
    ]
    assert all(line.endswith(", left out") for line in said) and "No such file" in said[0]
    with tarfile.open(out) as archive:
        assert archive.getnames() == ["dmesg.txt", "MANIFEST.txt"]
        member = archive.extractfile("MANIFEST.txt")
        assert member is not None
        listed = member.read().decode()
    assert "gone.txt: left out, it cannot be read" in listed and str(tmp_path) not in listed


def test_nothing_is_written_that_was_not_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "dmesg.txt").write_text(LOG)
    main_(["collect", "--no-live", "--dry-run", str(tmp_path / "r.tar.gz"), str(tmp_path / "dmesg.txt")])
    assert [path.name for path in tmp_path.iterdir()] == ["dmesg.txt"]
    assert main_(["collect", "--no-live", str(tmp_path / "r.tar.gz")]) == 2
    assert main_(["collect", str(tmp_path / "r.zip")]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["dmesg.txt"]


def test_a_running_system_is_read_by_plain_reads(tmp_path: Path) -> None:
    fdt = tmp_path / "sys/firmware/fdt"
    fdt.parent.mkdir(parents=True)
    fdt.write_bytes(BOARD)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/iomem").write_text("40000000-7fffffff : System RAM\n")
    (tmp_path / "proc/cmdline").write_text("secret\n")
    found = {}
    for item in live_items(tmp_path):
        with item.open() as stream:
            found[item.name] = stream.read()
    assert found == {"/sys/firmware/fdt": BOARD, "/proc/iomem": b"40000000-7fffffff : System RAM\n"}
    assert "/proc/cmdline" in {item.name for item in live_items(tmp_path, logs=True)}, "verify reads logs, collect does not"


def test_a_folder_that_is_not_ours_to_look_into_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/sys/kernel/debug is root's alone; what is left is still taken."""
    for name in ("sys/kernel/debug/memblock/memory", "proc/iomem"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x\n")
    stat = Path.stat

    def refused(path: Path, **more: bool) -> os.stat_result:
        if "debug" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return stat(path, **more)

    monkeypatch.setattr(Path, "stat", refused)
    assert [item.name for item in live_items(tmp_path)] == ["/proc/iomem"]


def main_(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    return 0

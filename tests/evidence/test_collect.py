"""``collect``: one archive for a bug report, without what is nobody's business, and nothing else touched."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.inputs.collecting import cleared
from dtanalyze.inputs.evidence_files import live_items
from tests.trees import dtb

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
    data, removed = cleared(BOARD, "board.dtb")
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
    assert cleared(dtb('model = "board";'), "x") == (dtb('model = "board";'), ())


def test_a_log_keeps_its_lines() -> None:
    data, removed = cleared(LOG.encode(), "dmesg")
    text = data.decode()
    for secret in ("ann", "02:00:00", "192.168", "0042AB", "01234567-", "hunter2", "=9"):
        assert secret not in text
    assert text.count("\n") == LOG.count("\n") and "Linux version 6.12.1" in text and "Serial: AMBA" in text
    assert {item.split(" ", 1)[1] for item in removed} >= {"MAC addresses", "serial numbers", "keys", "UUIDs"}
    xen = b"(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB)\n(XEN) Xen version 4.20.4 (a@b.c) (gcc)\n"
    assert b"0x00000060000000-0x00000080000000" in cleared(xen, "log")[0]


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


def main_(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    return 0

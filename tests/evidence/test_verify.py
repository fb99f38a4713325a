"""``verify``: recorded boots from their files alone, and every way in which a machine may differ."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import json
import lzma
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dtanalyze.cli import main
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import to_blob
from dtanalyze.inputs import unpacking
from tests.evidence.noise import NOISE
from tests.linux.test_kconfig import config

FIXTURES = Path(__file__).parents[2] / "fixtures"
CHANGED = ("extreg=", "gnttabreg=", "extregcut=", "gtholes=")  # marks a Xen that was changed
BOOTS = {path.stem: json.loads(path.read_text()) for path in sorted((FIXTURES / "boots").glob("*.json"))}
# 13a: the seed is not in the recorded tree, and the kernel says that KASLR is on; it is not among the lines kept here.
WHOLE = sorted(
    name
    for name, boot in BOOTS.items()
    if boot["xen_version"] and boot["iomem_after"] and not any(word in boot["xen_cmdline"] for word in CHANGED)
)


def evidence(name: str, folder: Path, change: Callable[[str], str] = lambda text: text) -> list[str]:
    """Lay the files of a recorded boot out under names that say nothing."""
    boot = BOOTS[name]
    iommu = "enabled" if boot["iommu"] else "disabled"
    banner = [f"(XEN) Xen version {boot['xen_version']} (x) (gcc) debug=n", f"(XEN) I/O virtualisation {iommu}"]
    files = {
        "a": (FIXTURES / "dtb" / "hosts" / f"{name}.dtb").read_bytes(),
        "b": (FIXTURES / "dtb" / "boots" / f"{name}.dtb").read_bytes(),
        "c": change("\n".join([*banner, *boot["xen_messages"]])).encode(),
        "d": "\n".join(boot["iomem_before"]).encode(),
        "e": "\n".join(boot["iomem_after"]).encode(),
        "f": f"[    0.000000] Linux version {boot['linux_version']} (x) (gcc) #1 SMP\n".encode(),
    }
    for key, data in files.items():
        (folder / key).write_bytes(data)
    return [str(folder / key) for key in files]


def verify(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    try:
        main(["verify", "--format", "json", *arguments])
        status = 0
    except SystemExit as left:
        status = left.code if isinstance(left.code, int) else 0
    out = capsys.readouterr().out
    return status, json.loads(out)["results"][0] if out else {}


def differing(result: dict[str, Any]) -> list[str]:
    return [item["what"] for item in result["comparisons"] if item["agrees"] is False]


@pytest.mark.parametrize("name", WHOLE)
def test_a_recorded_boot_agrees(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(WHOLE) > 20
    status, result = verify(capsys, *evidence(name, tmp_path))
    assert (status, differing(result), result["wrong_pairing"]) == (0, [], None), result
    whats = {item["what"].split()[0] for item in result["comparisons"] if item["agrees"]}
    assert {"tree", "System"} <= whats
    assert "extended" in whats or not any("xtended region" in line for line in BOOTS[name]["xen_messages"])
    assert "Xen" in whats or not BOOTS[name]["scratch_inclusive"]


@pytest.mark.parametrize(("noise", "change"), NOISE.items(), ids=NOISE.keys())
def test_the_state_of_the_log_changes_nothing(
    noise: str, change: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, result = verify(capsys, *evidence("05b-2banks-rsv", tmp_path, change))
    assert (status, differing(result)) == (0, [])


def _utf16(data: bytes) -> bytes:
    return data.decode().replace("\n", "\r\n").encode("utf-16")


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "two gzip files in one": lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:]),
    "UTF-16": _utf16,
    "UTF-8 with its mark": lambda data: b"\xef\xbb\xbf" + data,
}


@pytest.mark.parametrize("kind", PACKED)
def test_packed_files_are_read_as_they_are(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All files, the trees too but for UTF-16; and what `check --xen-log` takes from one."""
    paths = evidence("05b-2banks-rsv", tmp_path)
    board = shutil.copy(paths[0], tmp_path / "board.dtb")
    plain = run_check(capsys, str(board), "--xen-log", paths[2])
    _, unpacked = verify(capsys, *paths)
    for path in paths[2:] if kind.startswith("UTF") else paths:
        Path(path).write_bytes(PACKED[kind](Path(path).read_bytes()))
    status, result = verify(capsys, *paths)
    assert (status, differing(result)) == (0, [])
    assert result["comparisons"] == unpacked["comparisons"] and len(result["comparisons"]) > 6
    assert run_check(capsys, str(board), "--xen-log", paths[2]) == plain != ""


def run_check(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with contextlib.suppress(SystemExit):
        main(["check", *arguments, "--fdt-address", "0x44000000"])
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"(XEN) Xen version 4.20.4 (x)\n" * 999)[:-20], "it is cut off"),
        (lzma.compress(b"(XEN) x\n" * 9999)[:-40], "it is cut off"),
        (b"BZh9 and no more", "it is compressed and cannot be unpacked"),
        (b"\xfd7zXZ\0" + bytes(99), "it is compressed and cannot be unpacked"),
    ],
)
def test_a_packed_file_that_is_broken(
    content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    path.write_bytes(content)
    for command in (["verify", str(path)], ["check", str(FIXTURES / "dtb/hosts" / f"{NAME}.dtb"), "--xen-log", str(path)]):
        with pytest.raises(SystemExit) as left:
            main(command)
        error = capsys.readouterr().err
        assert left.value.code == 2 and words in error and str(path) in error and error.count("\n") <= 2


def test_a_packed_file_has_no_more_than_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(unpacking, "MOST_UNPACKED", 1 << 17)
    path = tmp_path / "log"
    for pack in (gzip.compress, lzma.compress, bz2.compress):
        path.write_bytes(pack(b"(XEN) x\n" * (1 << 15)))
        with pytest.raises(SystemExit):
            main(["verify", str(path)])
        assert "more than 0 GiB unpacked" in capsys.readouterr().err


@pytest.mark.parametrize("end", ["head", "tail", "both"])
def test_a_log_of_which_a_part_is_there(end: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cut at every line: what is there agrees, what is not there is no difference."""
    paths = evidence("05b-2banks-rsv", tmp_path)
    lines = Path(paths[2]).read_text().split("\n")
    for place in range(1, len(lines)):
        kept = {"head": lines[place:], "tail": lines[:place], "both": lines[place // 2 : place]}[end]
        Path(paths[2]).write_text("\n".join(kept))
        status, result = verify(capsys, *paths, "--xen", "4.20")
        assert (status, differing(result)) == (0, []), kept


NAME = "01-dom0-x420-l612"


@pytest.mark.parametrize(
    ("file", "old", "new", "what"),
    [
        ("c", "BANK[0] 0x00000060000000-0x00000080000000", "BANK[0] 0x00000068000000-0x00000088000000", "dom0's RAM"),
        ("c", "0x80000000->0xbfe00000", "0x84000000->0xbfe00000", "extended regions of dom0"),
        ("d", "60000000-7fffffff : System RAM", "60000000-6fffffff : System RAM", "System RAM"),
        ("d", "10000000-3efeffff : pcie@10000000", "", "claims that are certain"),
        ("e", "48000000-4fffffff : Xen scratch", "5fe00000-5fffffff : Xen scratch", "Xen scratch"),
    ],
)
def test_each_difference_is_named(
    file: str, old: str, new: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = evidence(NAME, tmp_path)
    text = (tmp_path / file).read_text()
    assert old in text
    lines = [line for line in text.replace(old, new).split("\n") if line and not (new == "" and line.startswith("  6fff"))]
    if what == "System RAM":
        lines = [line for line in lines if not line.startswith("  7")]
    (tmp_path / file).write_text("\n".join(lines))
    status, result = verify(capsys, *paths, "--fdt-address", "0x44000000")
    assert status == 1 and what in differing(result)
    assert all(item["cause"] for item in result["comparisons"] if item["agrees"] is False)


def test_a_changed_tree_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = evidence(NAME, tmp_path)
    data = (tmp_path / "b").read_bytes()
    (tmp_path / "b").write_bytes(data.replace(b"dom0_mem", b"dom0_men").replace(b"xen,xen-4.20\0", b"xen,xen-4.21\0"))
    status, result = verify(capsys, *paths)
    assert status == 1 and "tree of dom0" in differing(result)
    (tree,) = [item for item in result["comparisons"] if item["what"] == "tree of dom0"]
    assert "/hypervisor:compatible" in tree["seen"]


def test_a_difference_names_the_setting_that_explains_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """4.20's regions lack 2 MiB at their ends, 4.22's do not: what 4.20 printed under 4.22's banner."""
    paths = evidence(NAME, tmp_path)
    text = (tmp_path / "c").read_text()
    (tmp_path / "c").write_text(text.replace("4.20.5-pre", "4.22.0"))
    _, result = verify(capsys, paths[0], paths[2])
    (item,) = [item for item in result["comparisons"] if item["agrees"] is False]
    assert item["what"] == "extended regions of dom0" and item["cause"].startswith("as Xen 4.")


def test_what_check_may_be_told_verify_may_be_told_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = evidence(NAME, tmp_path)
    # Another dom0_mem than the one that this Xen was started with: its banks and its tree differ.
    (tmp_path / "xen.cfg").write_text("kernel=Image\noptions=dom0_mem=256M bootscrub=0\ndtb=board.dtb\n")
    status, result = verify(capsys, *paths, "--xen-cfg", str(tmp_path / "xen.cfg"))
    assert status == 1 and differing(result) == ["dom0's RAM"]
    (tmp_path / "xen.cfg").write_text("kernel=Image\ndtb=board.dtb\n")
    assert differing(verify(capsys, *paths, "--xen-cfg", str(tmp_path / "xen.cfg"))[1]) == []
    (tmp_path / "guest.cfg").write_text("memory = 256\n")
    assert verify(capsys, *paths, "--xl-config", str(tmp_path / "guest.cfg"))[0] == 0
    (tmp_path / "config").write_text("# CONFIG_GICV3 is not set\n")
    (tmp_path / "c").write_text((tmp_path / "c").read_text() + "\n(XEN) Freed 380kB init memory.\n")
    assert verify(capsys, *paths)[0] == 0
    assert verify(capsys, *paths, "--xen-config", str(tmp_path / "config"))[0] == 1, (
        "without its driver no interrupt controller"
    )
    for wrong in (
        ["--xen-build", "stock", "--xen-config", str(tmp_path / "config")],
        ["--partial-dtb", f"none={paths[0]}"],
        ["--xen-cfg-section", "a"],
        ["--xl-config", paths[0]],
    ):
        assert verify(capsys, *paths, *wrong)[0] == 2, wrong


CUT = "console=dtuart dtuart=/pl011@9000000 loglvl=all"


@pytest.mark.parametrize(
    ("printed", "agrees", "dom0"),
    [
        (None, None, "0x60000000-0x7fffffff"),
        (CUT, None, "0x60000000-0x7fffffff"),  # the tree's line begins so: the log was wrapped
        ("dom0_mem=256M bootscrub=0", False, "0x50000000-0x5fffffff"),
    ],
)
def test_the_command_line_of_the_log_counts(
    printed: str | None, agrees: bool | None, dom0: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = evidence(NAME, tmp_path)
    if printed is not None:
        text = (tmp_path / "c").read_text().split("\n")
        (tmp_path / "c").write_text("\n".join([text[0], f"(XEN) Command line: {printed}", *text[1:]]))
    _, result = verify(capsys, *paths, "--fdt-address", "0x44000000")
    lines = [item for item in result["comparisons"] if item["what"] == "Xen's command line"]
    assert [item["agrees"] for item in lines] == ([] if printed is None else [agrees])
    assert [item["line"] for item in lines] == ([] if printed is None else [2])
    (ram,) = [item for item in result["comparisons"] if item["what"] == "dom0's RAM"]
    assert ram["predicted"] == dom0, "worked by hand: the lowest aligned block of that size that nothing reserves"


def test_another_boards_log_is_said_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = evidence(NAME, tmp_path)
    text = (tmp_path / "c").read_text().replace("(XEN) Grant", "(XEN) RAM: 0000000880000000 - 00000008ffffffff\n(XEN) Grant")
    (tmp_path / "c").write_text(text)
    status, result = verify(capsys, *paths)
    assert status == 1 and result["wrong_pairing"].endswith(
        "(line 3) is of another board than " + paths[0] + ": none of its RAM is RAM in the tree"
    )


@pytest.mark.parametrize(
    ("lines", "wrong"),
    [
        ("(XEN) Platform: Xilinx ZynqMP", "'Xilinx ZynqMP', and the tree is of linux,dummy-virt"),
        ("(XEN) Platform: Generic System", None),
        ("(XEN) Platform: NXP S32-Gen1", None),  # a fork's
        ("(XEN) Grant table range: 0x00000800400000-0x00000800440000", "none of its RAM is RAM in the tree"),
        ("(XEN) MODULE[0]: 0000000022000000 - 0000000022172fff Xen", "none of its RAM is RAM in the tree"),
    ],
)
def test_a_log_without_ram_shows_another_board_too(
    lines: str, wrong: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Logs of ZCU102, S32G and i.MX8 as they are posted: where Xen lies is RAM, and some platforms have a name."""
    (tmp_path / "log").write_text(f"(XEN) Xen version 4.20.4 (x)\n{lines}\n")
    _, result = verify(capsys, str(FIXTURES / "dtb" / "hosts" / f"{NAME}.dtb"), str(tmp_path / "log"))
    assert (result["wrong_pairing"] or "").endswith(wrong or ""), result["wrong_pairing"]
    assert bool(result["wrong_pairing"]) is bool(wrong)


BANKS = """(XEN) Allocating 1:1 mappings totalling 512MB for dom0:
(XEN) BANK[0] 0x00000060000000-0x00000080000000 (512MB)
"""


@pytest.mark.parametrize(
    ("host", "log", "what", "cause"),
    [
        (NAME, BANKS.replace("6", "f", 1), "dom0's RAM", "0xf0000000-"),
        ("15a-untranslatable-x420", f"{BANKS}(XEN) Extended region 0: 0x80000000->0xbfe00000", "extended", "stop before it"),
        (NAME, f"{BANKS}(XEN) Unable to retrieve address 0 for /usb@1,0\n(XEN) Panic on CPU 0:\n(XEN) x", "Xen", "given another"),
        (NAME, f"{BANKS}(XEN)  RESVD[0]: 0000000054000000 - 0000000056ffffff\n(XEN) Freed 1kB init memory", "extended", "reserves"),
    ],
)
def test_what_shows_that_xen_had_another_tree(
    host: str, log: str, what: str, cause: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log").write_text(log.replace("0x000000f0000000-0x00000080000000", "0x000000f0000000-0x00000110000000"))
    _, result = verify(capsys, str(FIXTURES / "dtb" / "hosts" / f"{host}.dtb"), str(tmp_path / "log"))
    causes = [item["cause"] for item in result["comparisons"] if item["agrees"] is False and item["what"].startswith(what)]
    assert len(causes) == 1 and cause in causes[0], result["comparisons"]


def test_what_a_log_without_banner_and_command_line_still_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """4.16 alone does not say whose a region is; dom0's size stands before its banks. Without either, both are guesses."""
    host = parse((FIXTURES / "dtb" / "hosts" / f"{NAME}.dtb").read_bytes())
    chosen = host.root.child("chosen")
    assert chosen is not None
    chosen.properties.pop("xen,xen-bootargs")
    (tmp_path / "host").write_bytes(to_blob(host.root, ()))
    for log, said in (
        (f"{BANKS}(XEN) Extended region 0: 0x80000000->0xbfe00000", ("Xen 4.16", "dom0_mem: 512M, as line 1 of the log has it")),
        ("(XEN) Platform: Generic System", ("Xen 4.22 is a guess: nothing in the evidence names the release (--xen)",)),
    ):
        (tmp_path / "log").write_text(log + "\n")
        _, result = verify(capsys, str(tmp_path / "host"), str(tmp_path / "log"))
        for words in said:
            assert any(item.startswith(words) for item in result["profile"]), (words, result["profile"])


def test_a_release_that_is_too_old_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log").write_text("(XEN) Xen version 4.14.0 (xen-4.14-r0@fsl-auto) (gcc)\n")
    with pytest.raises(SystemExit) as left:
        main(["verify", str(FIXTURES / "dtb" / "hosts" / f"{NAME}.dtb"), str(tmp_path / "log")])
    assert left.value.code == 2 and "Xen 4.14.0 is older than 4.16, the oldest release known" in capsys.readouterr().err


def test_the_kernels_model_names_the_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = evidence(NAME, tmp_path)
    (tmp_path / "f").write_text("[    0.000000] Linux version 6.12.1 (x) #1\n[    0.000000] Machine model: Raspberry Pi 4\n")
    status, result = verify(capsys, *paths)
    assert status == 1 and "'Raspberry Pi 4', not 'linux,dummy-virt'" in result["wrong_pairing"]


def test_an_archive_is_read_and_never_unpacked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = evidence(NAME, tmp_path)
    archive = tmp_path / "report.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        for number, path in enumerate(paths):
            data = Path(path).read_bytes()
            member = tarfile.TarInfo(f"../../escape{number}")
            member.size = len(data)
            out.addfile(member, io.BytesIO(data))
        link = tarfile.TarInfo("/etc/passwd-link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        out.addfile(link)
    before = sorted(tmp_path.parent.iterdir())
    status, result = verify(capsys, str(archive))
    assert (status, differing(result)) == (0, [])
    assert sorted(tmp_path.parent.iterdir()) == before


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello\n", "holds no devicetree"),
        (b"\x1f\x8bnothing", "it is compressed and cannot be unpacked"),
        (b"\xd0\x0d\xfe\xed\0\0", "at byte offset"),
    ],
)
def test_evidence_that_is_none(content: bytes, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as left:
        main(["verify", str(path)])
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") <= 2 and "Traceback" not in error


def test_a_kernels_own_configuration_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(gzip.compress(config(XEN_UNPOPULATED_ALLOC="n").encode()))
    _, result = verify(capsys, *evidence("03-dom0-x417-l61", tmp_path), str(packed))
    assert any(note.endswith(f"configured by {packed}") for note in result["profile"])


LIVE = FIXTURES / "live" / "dom0-420-612"


def test_a_running_dom0_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    """Without Xen's log: the release comes from /sys/hypervisor, the grant table from the tree that Xen wrote."""
    status, result = verify(capsys, str(LIVE / "host.dtb"), "--live", "--root", str(LIVE / "root"))
    assert (status, differing(result)) == (0, [])
    agreeing = {item["what"] for item in result["comparisons"] if item["agrees"]}
    assert agreeing >= {
        "tree of dom0",
        "Linux's RAM",
        "Linux's command line",
        "memblock",
        "System RAM",
        "Xen scratch",
        "KASLR",
    }
    assert "Xen 4.20.5" in result["profile"], "not 4.20, which is all that Linux prints"
    (line,) = [item for item in result["comparisons"] if item["what"] == "Linux's command line"]
    records = (LIVE / "root/dev/kmsg").read_text().splitlines()
    assert records[line["line"] - 1].partition(";")[2].startswith("Kernel command line: console=hvc0")
    status, result = verify(
        capsys, str(LIVE / "host.dtb"), str(LIVE / "xl-dmesg.txt"), "--live", "--root", str(LIVE / "root")
    )
    assert (status, differing(result)) == (0, [])
    assert {"dom0's RAM", "extended regions of dom0", "Xen"} <= {i["what"] for i in result["comparisons"] if i["agrees"]}


@pytest.mark.parametrize(
    ("name", "old", "new", "what"),
    [
        ("proc/cmdline", "panic=-1", "panic=-1 mem=256M", "Linux's command line"),
        ("sys/hypervisor/version/minor", "20", "22", "tree of dom0"),
        ("proc/iomem", "60000000-7fffffff : System RAM", "60000000-6fffffff : System RAM", "System RAM"),
        ("sys/kernel/debug/memblock/memory", "0x000000007fffffff", "0x000000006fffffff", "memblock"),
        (
            "dev/kmsg",
            "[mem 0x0000000060000000-0x000000007fffffff]",
            "[mem 0x0000000060000000-0x000000006fffffff]",
            "Linux's RAM",
        ),
    ],
)
def test_each_file_of_a_running_dom0_is_read(
    name: str, old: str, new: str, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(LIVE / "root", root)
    text = (root / name).read_text()
    assert old in text
    lines = text.replace(old, new).split("\n")
    if what == "System RAM":
        lines = [line for line in lines if not line.startswith("  7")]
    (root / name).write_text("\n".join(lines))
    if name == "proc/cmdline":
        (root / "dev/kmsg").unlink()
    _, result = verify(capsys, str(LIVE / "host.dtb"), "--live", "--root", str(root))
    assert what in differing(result)


def test_a_root_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(capsys, str(LIVE / "host.dtb"), "--root", str(LIVE / "root"))[0] == 2, "only --live reads a system"
    assert verify(capsys, str(LIVE / "host.dtb"), "--live", "--root", str(tmp_path / "none"))[0] == 2
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/kmsg").symlink_to("/dev/null")  # a device without records: nothing is waited for
    assert verify(capsys, str(LIVE / "host.dtb"), "--live", "--root", str(tmp_path))[0] == 2


def test_the_configuration_beside_the_kernel_counts_where_it_holds_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(LIVE / "root", root)
    (root / "boot").mkdir()
    (root / "boot/config-6.12.118+deb13-arm64").write_text(config(XEN_UNPOPULATED_ALLOC="n"))
    _, result = verify(capsys, str(LIVE / "host.dtb"), "--live", "--root", str(root))
    assert "configured by /boot/config-6.12.118+deb13-arm64" in " ".join(result["profile"])

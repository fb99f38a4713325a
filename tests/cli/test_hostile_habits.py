"""Habits of a busy machine and of strangers beside the tree: streams, limits, archives, names, files that never end."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import resource
import shlex
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from dtanalyze import load
from dtanalyze.cli import main, serving
from dtanalyze.cli.kept import Kept
from dtanalyze.errors import InputError, InputFailure
from dtanalyze.inputs.files import Given
from dtanalyze.version import __version__
from tests.cli.test_cli import ROOT

GUEST = (ROOT / "fixtures" / "dtb" / "boots" / "01-dom0-x420-l612.dtb").read_bytes()
HOST = (ROOT / "fixtures" / "dtb" / "hosts" / "01-dom0-x420-l612.dtb").read_bytes()
PROGRAM = shlex.join([sys.executable, "-m", "dtanalyze"])


class Desk:
    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.capsys = place, capsys
        for name, data in (("a.dtb", GUEST), ("b.dtb", GUEST), ("h.dtb", HOST)):
            (place / name).write_bytes(data)

    def run(self, *argv: str) -> tuple[object, str, str]:
        with pytest.raises(SystemExit) as left:
            main(list(argv))
        printed = self.capsys.readouterr()
        return left.value.code, printed.out, printed.err

    def refused(self, *argv: str) -> str:
        """Return the one line that is said of a call that is refused."""
        status, out, err = self.run(*argv)
        assert (status, out, err.count("\n")) == (2, "", 1) and "internal error" not in err, err
        return err

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line in which ``dtanalyze`` is the program, as a shell would."""
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        argv = ["bash", "-c", line.replace("dtanalyze", PROGRAM)]
        return subprocess.run(argv, cwd=self.place, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path, capsys)


@pytest.mark.parametrize("streams", ["<&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_cost_no_worker(streams: str, desk: Desk) -> None:
    """The next pipe would get a closed stream's number, and the worker that puts its streams aside would lose it."""
    assert desk.shell(f"dtanalyze check a.dtb b.dtb --jobs 2 --format json -o out {streams}").returncode == 0
    answer = json.loads((desk.place / "out").read_text())
    assert [item["path"] for item in answer["results"]] == ["a.dtb", "b.dtb"] and answer["errors"] == []


@pytest.mark.parametrize(
    "line", ["check a.dtb -o /dev/stdout", "check a.dtb", "verify h.dtb a.dtb", "rules", "--help", "check -h"]
)
def test_a_closed_output_is_no_success(line: str, desk: Desk) -> None:
    ran = desk.shell(f"dtanalyze {line} >&-")
    assert ran.returncode == 2 and "standard output is closed" in ran.stderr


@pytest.mark.parametrize("files", [8, 9, 10, 12, 14])
def test_few_open_files_cost_speed_only(files: int, desk: Desk) -> None:
    ran = desk.shell(f"ulimit -n {files}; dtanalyze check a.dtb b.dtb a.dtb b.dtb --jobs 4 --quiet")
    assert ran.returncode == 0 and ran.stdout.count(": scratch: ") == 4 and ran.stderr == ""


def test_a_system_without_processes_is_no_loss(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    one = desk.run("check", "a.dtb", "nothing.dtb", "b.dtb", "--jobs", "1")
    monkeypatch.setattr(os, "fork", none_left)
    open_before = len(os.listdir("/proc/self/fd"))
    assert desk.run("check", "a.dtb", "nothing.dtb", "b.dtb", "--jobs", "3") == one
    assert len(os.listdir("/proc/self/fd")) == open_before, "the pipes of a worker that never was"


def test_a_full_disk_loses_no_answer() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept: Kept[str] = Kept()
    items = [str(number) * 2000 for number in range(40)]
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, hard))
        for item in items:
            kept.append(item)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(kept) == items and kept[17] == items[17] and kept[-1] == items[-1]


@pytest.mark.parametrize(
    "line",
    ["map a.dtb --svg out --html ./out", "fix a.dtb -o out --apply out", "check a.dtb --write-baseline out -o out"],
)
def test_two_outputs_never_share_a_file(line: str, desk: Desk) -> None:
    status, _, err = desk.run(*line.split())
    assert status == 2 and "out has been written by this run already" in err
    assert desk.run("rules")[0] == 0 and desk.run(*line.replace("./", "").replace("out", "x", 1).split())[0] == 0


@pytest.mark.parametrize(
    "argv",
    [
        ("check", "h.dtb", "--partial-dtb", "domU1=/dev/zero"),
        ("predict", "h.dtb", "--partial-dtb", "domU1=pipe"),
        ("verify", "h.dtb", "pipe"),
        ("verify", "h.dtb", "/dev/zero"),
        ("verify", "h.dtb", "gone"),
        ("collect", "--no-live", "out.tgz", "/dev/zero"),
        ("collect", "--no-live", "out.tgz", "gone"),
    ],
)
def test_what_is_no_file_is_said_before_it_is_read(argv: tuple[str, ...], desk: Desk) -> None:
    os.mkfifo("pipe")
    os.symlink("nowhere", "gone")
    assert any(words in desk.refused(*argv) for words in ("it is a device", "it is a named pipe", "the link leads nowhere"))
    assert not os.path.exists("out.tgz")


def test_a_program_reads_no_device_either() -> None:
    with pytest.raises(InputError, match="it is a device"):
        load("/dev/zero")
    with pytest.raises(InputError, match="it is a device"):
        load(GUEST, overlays="/dev/zero")
    with pytest.raises(FileNotFoundError):
        load("no/such/file")


def test_a_partial_tree_is_an_input(desk: Desk) -> None:
    Path("d.dtb").write_bytes((ROOT / "fixtures" / "dtb" / "hosts" / "07a-domU-256M.dtb").read_bytes())
    err = desk.refused("check", "d.dtb", "--partial-dtb", "domU1=a.dtb", "-o", "a.dtb")
    assert "a.dtb is an input" in err and Path("a.dtb").read_bytes() == GUEST


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (("--fdt-address", "-1"), "takes an address"),
        (("--fdt-address", "9" * 30), "takes an address"),
        (("--fdt-address", str(1 << 64)), "takes an address"),
        (("--linux", "\n::error::x"), "no Linux preset"),
        (("--xen", "4.20,4.17"), "no Xen release"),
    ],
)
def test_verify_takes_no_value_that_means_nothing(argv: tuple[str, ...], words: str, desk: Desk) -> None:
    assert words in desk.refused("verify", "h.dtb", "a.dtb", *argv)


def test_what_is_asked_twice_is_answered_once(desk: Desk) -> None:
    argv = ("--linux", ",".join(["6.6"] * 3000), "--xen", "4.20,4.20", "--iommu", "off,off", "--format", "json")
    answer = json.loads(desk.run("check", "h.dtb", *argv)[1])
    assert len(answer["results"]) == 1


def test_a_baseline_of_brackets(desk: Desk) -> None:
    (desk.place / "known.json").write_text("[" * 100_000)
    assert "nested too deeply" in desk.refused("check", "a.dtb", "--baseline", "known.json")


def archive(members: dict[str, bytes], **headers: str) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as out:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.pax_headers = len(data), headers
            out.addfile(member, io.BytesIO(data))
    return made.getvalue()


def header_of_gigabytes() -> bytes:
    """An extended header that states 1 GiB, in a file of a megabyte: `tarfile` reads such a header whole."""
    header = tarfile.TarInfo("x")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    # Members of one file, one after another, unpack to one stream: 16 MiB are packed once.
    return gzip.compress(header.tobuf(tarfile.USTAR_FORMAT)) + gzip.compress(bytes(1 << 24)) * 64


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("x.tar.gz", header_of_gigabytes, "more than 64 MiB unpacked"),
        ("x.tar.gz", lambda: gzip.compress(archive({"a": GUEST}))[:-20], "it is cut off"),
        (
            "x.tar.bz2",
            lambda: bz2.compress(archive({"a": GUEST})) + bz2.compress(b"") * 2048,
            "more than 2048 compressed streams",
        ),
        ("x.tgz", lambda: b"\x1f\x8bnothing", "no archive that can be read"),
        ("x.tar.xz", lambda: b"\xfd7zXZ\0nothing", "no archive that can be read"),
        ("x.tar.bz2", lambda: b"BZhnothing", "no archive that can be read"),
        ("x.tar", lambda: archive({"a": b""}, **{"GNU.sparse.map": "a,b"}), "no archive that can be read"),
        (
            "x.tar",
            lambda: archive({"a": b"9" * 600}, **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})[:2048],
            "no archive",
        ),
        ("x.tar", lambda: GUEST, "no archive that can be read"),
        ("x.tar", lambda: archive({str(number): b"" for number in range(1001)}), "more than 1000 members"),
    ],
)
def test_archives(name: str, data: Callable[[], bytes], words: str, desk: Desk) -> None:
    (desk.place / name).write_bytes(data())
    began = time.process_time()
    assert words in desk.refused("verify", "h.dtb", name)
    assert time.process_time() - began < 10


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_an_archive_may_be_several_streams(pack: Callable[[bytes], bytes], desk: Desk) -> None:
    """pbzip2 and bgzip write a stream for each block: what lay behind the first was lost without a word."""
    whole = archive({"a.dtb": GUEST, "h.dtb": HOST})
    (desk.place / "x.tar").write_bytes(whole)
    (desk.place / "y.tar").write_bytes(pack(whole[:700]) + pack(whole[700:5000]) + pack(whole[5000:]))
    asked = [desk.run("verify", "h.dtb", name)[:2] for name in ("x.tar", "y.tar")]
    assert asked[0][1].replace("x.tar", "y.tar") == asked[1][1] and asked[0][1]


def test_names_in_the_evidence_speak_for_nobody(desk: Desk) -> None:
    odd = "n\n::error::y"
    Path(odd).write_bytes(b"hello")
    Path("bag.tar").write_bytes(archive({f"{odd}\x1b[31m": b"hello", "h.dtb": HOST}))
    status, out, err = desk.run("verify", odd, "bag.tar", "a.dtb")
    assert status in (0, 1) and err.count("\n") == 2 and "\\n::error::y: nothing known is in it, left out\n" in err
    status, out, err = desk.run("collect", "--no-live", "out.tgz", odd, "bag.tar")
    assert (status, err) == (0, "") and out.count("\n") == 3
    for text in (out, err):
        assert all(line.isprintable() and not line.startswith("::") for line in text.splitlines())
    with tarfile.open("out.tgz") as made:
        assert made.getnames() == ["n___error__y", "bag.tar_n___error__y__31m", "bag.tar_h.dtb", "MANIFEST.txt"]


def test_what_a_folder_holds_beside_files_is_said(desk: Desk) -> None:
    os.mkdir("bag")
    os.mkfifo("bag/pipe")
    os.symlink("nowhere", "bag/gone")
    for name, data in (("h.dtb", HOST), ("a.dtb", GUEST)):
        Path("bag", name).write_bytes(data)
    status, _, err = desk.run("verify", "bag")
    assert status in (0, 1) and err == (
        "dtanalyze: bag/gone: the link leads nowhere (to nowhere), left out\n"
        "dtanalyze: bag/pipe: it is a named pipe, not a file, left out\n"
    )


@pytest.mark.parametrize("line", ["a" * 1_000_000, "1." * 500_000, "a@" + "b." * 500_000, "a@b." + "c" * 500_000 + "_"])
def test_no_line_takes_hours_to_clear(line: str, desk: Desk) -> None:
    Path("dmesg").write_text(line + "\n")
    began = time.process_time()
    assert desk.run("collect", "--no-live", "out.tgz", "dmesg")[0] == 0
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    ("packed", "why"),
    [
        (b"\xfd7zXZ\0serial=77", "it is compressed and cannot be unpacked"),
        (b"PK\x03\x04", "what is secret in it is not seen"),
        (b"/dts-v1/; / { };", "what is secret in it is not seen"),
    ],
)
def test_nothing_is_taken_that_cannot_be_cleared(packed: bytes, why: str, desk: Desk) -> None:
    Path("x").write_bytes(packed)
    assert why in desk.refused("collect", "--no-live", "out.tgz", "x")
    assert not os.path.exists("out.tgz")


def test_what_is_packed_is_cleared_too(desk: Desk) -> None:
    Path("x").write_bytes(gzip.compress(b"serial=77\n", mtime=0))
    assert desk.run("collect", "--no-live", "out.tgz", "x")[0] == 0
    with tarfile.open("out.tgz") as made:
        member = made.extractfile("x")
        assert member is not None
        content = member.read()
    assert b"77" not in content and b"REMOVED" in content


def test_a_kernels_configuration_is_taken_as_it_is(desk: Desk) -> None:
    """But unpacked, as whatever is packed is looked through."""
    config = b"# Linux/arm64 6.1\nCONFIG_XEN=y\n\n# CONFIG_KASAN is not set\n"
    Path("config.gz").write_bytes(gzip.compress(config, mtime=0))
    assert desk.run("collect", "--no-live", "out.tgz", "config.gz", "a.dtb")[0] == 0
    with tarfile.open("out.tgz") as made:
        member = made.extractfile("config")
        assert member is not None and member.read() == config


def test_half_an_archive_is_none(desk: Desk) -> None:
    noise = os.urandom(100_000)
    Path("dmesg").write_bytes(noise.hex().encode())
    ran = desk.shell("ulimit -f 8; dtanalyze collect --no-live out.tgz dmesg")
    assert ran.returncode == 2 and "out.tgz: File too large" in ran.stderr and not os.path.exists("out.tgz")


def test_a_manifest_of_somebody_elses_keeps_its_name_to_itself(desk: Desk) -> None:
    os.mkdir("x")
    Path("x/MANIFEST.txt").write_text("not ours\n")
    Path("..txt").write_text("dots\n")
    assert desk.run("collect", "--no-live", "out.tgz", "x", "..txt")[0] == 0
    with tarfile.open("out.tgz") as made:
        assert made.getnames() == ["MANIFEST.txt_", "_txt", "MANIFEST.txt"]


def modules_of_a_stranger(place: Path) -> Path:
    """Put modules into the working folder that tell when Python takes them for its own."""
    for name in ("pickle", "json", "struct", "logging", "dtanalyze"):
        (place / f"{name}.py").write_text(f"open({str(place / 'ran')!r}, 'a').write(__name__)\n")
    return place / "ran"


def test_a_worker_of_a_cluster_takes_no_module_of_the_working_folder(desk: Desk) -> None:
    ran = modules_of_a_stranger(desk.place)
    version, (found, failed) = serving.answered(named, Given("a.dtb", b"x"))
    with serving._OF_THREAD.__dict__.pop("process") as process:
        process.kill()
    assert (version, found, failed) == (__version__, ["a.dtb"], []) and not ran.exists()


def named(given: Given) -> tuple[list[str], list[InputFailure]]:
    return [given.name], []


def test_processes_of_a_cluster_started_here_take_none_either(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def no_cluster(*_: object, **__: object) -> None:
        seen.append(os.environ.get("PYTHONSAFEPATH"))
        raise ValueError("none today")

    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", SimpleNamespace(Client=None, LocalCluster=no_cluster))
    assert "no cluster that works: none today" in desk.refused("check", "a.dtb", "--dask", "local")
    assert seen == ["1"]

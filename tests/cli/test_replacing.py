"""Outputs: an input is never replaced, an old file stays when the new one cannot be written, special files are written to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dtanalyze.cli import main, replacing
from dtanalyze.errors import UsageError
from dtanalyze.inputs.reading import READ, forget, read_bytes
from tests.cli.test_cli import ROOT
from tests.trees import dtb

BOOTS, HOSTS = ROOT / "fixtures" / "dtb" / "boots", ROOT / "fixtures" / "dtb" / "hosts"
GUEST = (BOOTS / "01-dom0-x420-l612.dtb").read_bytes()
HOST = (HOSTS / "01-dom0-x420-l612.dtb").read_bytes()
OVERLAY = dtb('f { target-path = "/"; __overlay__ { x; }; };')


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    replacing.WRITTEN.clear()  # as each run of the program does: a file that is gone leaves its inode to another
    (tmp_path / "d").mkdir()
    for name in ("g.dtb", "d/g.dtb"):
        (tmp_path / name).write_bytes(GUEST)
    (tmp_path / "h.dtb").write_bytes(HOST)
    (tmp_path / "o.dtbo").write_bytes(OVERLAY)
    (tmp_path / "list").write_text("g.dtb\n")
    (tmp_path / "s.toml").write_text("")
    (tmp_path / "c.toml").write_text("")
    (tmp_path / "known.json").write_text('{"baseline_version": 1, "findings": []}\n')
    os.link(tmp_path / "g.dtb", tmp_path / "hard.dtb")
    (tmp_path / "soft.dtb").symlink_to("g.dtb")
    return tmp_path


@pytest.mark.parametrize(
    ("argv", "written"),
    [
        ("check g.dtb -o g.dtb", "g.dtb"),
        ("check g.dtb -o soft.dtb", "g.dtb"),
        ("check g.dtb -o hard.dtb", "g.dtb"),
        ("check g.dtb -o ./d/../g.dtb", "g.dtb"),
        ("check d -o d/g.dtb", "d/g.dtb"),
        ("check *.dtb -o g.dtb", "g.dtb"),
        ("check @list -o g.dtb", "g.dtb"),
        ("check @list -o list", "list"),
        ("check @list --jobs 2 -o g.dtb", "g.dtb"),
        ("check g.dtb --overlay o.dtbo -o o.dtbo", "o.dtbo"),
        ("check g.dtb --suppressions s.toml -o s.toml", "s.toml"),
        ("check g.dtb --config c.toml -o c.toml", "c.toml"),
        ("check g.dtb --baseline known.json -o known.json", "known.json"),
        ("check g.dtb --write-baseline g.dtb", "g.dtb"),
        ("check g.dtb --write-baseline hard.dtb", "g.dtb"),
        ("predict h.dtb --emit-dtb h.dtb", "h.dtb"),
        ("map g.dtb --html g.dtb", "g.dtb"),
        ("map d --svg d/g.dtb", "d/g.dtb"),
        ("map g.dtb --overlay o.dtbo --html o.dtbo", "o.dtbo"),
        ("fix d -o d/g.dtb", "d/g.dtb"),
        ("fix g.dtb --emit-dtb hard.dtb", "g.dtb"),
    ],
)
def test_an_input_is_never_written(argv: str, written: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (place / written).read_bytes()
    with pytest.raises(SystemExit) as left:
        main(argv.split())
    assert left.value.code == 2 and "is an input" in capsys.readouterr().err
    assert (place / written).read_bytes() == before
    assert not list(place.rglob(".dtanalyze-*")), "nothing is left behind"


def test_a_run_forgets_what_another_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    read_bytes("g.dtb")
    with pytest.raises(SystemExit) as left:
        main(["check", "-q", "h.dtb", "-o", "g.dtb"])
    assert left.value.code == 0 and b"scratch" in (place / "g.dtb").read_bytes()


def test_a_full_disk_keeps_the_old_file(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "old").write_text("the good report of yesterday")
    with pytest.raises(UsageError, match="old: No space left"), replacing.replacing("old") as file:
        file.write(b"half of a")
        raise OSError(28, "No space left on device")
    assert (place / "old").read_text() == "the good report of yesterday"
    assert not list(place.glob(".dtanalyze-*"))


def test_a_limit_on_size_keeps_the_old_file(place: Path) -> None:
    (place / "old.json").write_text("old")
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); from dtanalyze.cli import main; main()"
    )
    argv = [sys.executable, "-c", script, "check", "h.dtb", "--format", "json", "-o", "old.json"]
    ran = subprocess.run(argv, cwd=place, capture_output=True, text=True, check=False)
    assert ran.returncode == 2 and ran.stderr == "dtanalyze: --output: old.json: File too large\n"
    assert (place / "old.json").read_text() == "old"


def test_mode_and_link_stay(place: Path) -> None:
    (place / "old").write_text("old")
    (place / "old").chmod(0o640)
    (place / "to").symlink_to("old")
    replacing.write_file("to", b"new")
    assert (place / "to").is_symlink() and (place / "old").read_bytes() == b"new"
    assert (place / "old").stat().st_mode & 0o777 == 0o640
    (place / "dangling").symlink_to("made")
    replacing.write_file("dangling", b"new")
    assert (place / "made").read_bytes() == b"new" and (place / "dangling").is_symlink()


def test_a_new_file_has_the_usual_mode(place: Path) -> None:
    mask = os.umask(0o027)
    try:
        replacing.write_file("made", b"")
    finally:
        os.umask(mask)
    assert (place / "made").stat().st_mode & 0o777 == 0o640


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everything")
def test_what_may_not_be_written_is_not_replaced(place: Path) -> None:
    (place / "old").write_text("old")
    (place / "old").chmod(0o444)
    with pytest.raises(UsageError, match="old: Permission denied"):
        replacing.write_file("old", b"new")


@pytest.mark.parametrize(
    ("name", "words"), [("d", "Is a directory"), ("none/x", "No such file"), ("a\0b", "can be called so")]
)
def test_what_is_no_file(name: str, words: str, place: Path) -> None:
    with pytest.raises(UsageError, match=words):
        replacing.write_file(name, b"x")


def test_pipes_devices_and_our_own_output_are_written_to(place: Path) -> None:
    def run(*argv: str, stdout: int | None = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "dtanalyze", "check", "-q", "g.dtb", *argv],
            cwd=place, stdout=stdout, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    assert run("-o", "/dev/stdout").stdout.startswith(b"g.dtb: scratch")
    run("-o", "/dev/null")
    with open(place / "out", "wb") as out:
        run("-o", "/dev/stdout", stdout=out.fileno())
    assert (place / "out").read_bytes().startswith(b"g.dtb: scratch")
    os.mkfifo(place / "pipe")
    reader = subprocess.Popen(["cat", "pipe"], cwd=place, stdout=subprocess.PIPE)
    run("-o", "pipe")
    assert reader.communicate()[0].startswith(b"g.dtb: scratch")


def test_what_is_read_is_remembered(place: Path) -> None:
    forget()
    read_bytes("soft.dtb")
    found = (place / "g.dtb").stat()
    assert {(found.st_dev, found.st_ino)} == READ
    forget()

"""``--cache``: the same bytes out as without it, whatever lies in its folder, and whoever writes there at the same time."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dtanalyze.cli import cache as module
from dtanalyze.cli import main
from dtanalyze.cli.cache import Cache, cached
from dtanalyze.cli.stored import NotStorableError, from_bytes, to_bytes
from dtanalyze.inputs.files import Given
from tests.cli.test_cli import ROOT

DTB = ROOT / "fixtures" / "dtb"
TREES = [str(path) for folder in ("boards", "boots") for path in sorted((DTB / folder).glob("*.dtb"))[:3]]
GUEST = str(DTB / "boots" / "01-dom0-x420-l612.dtb")


def ran(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["check", *args])
    return int(left.value.code or 0), capsys.readouterr().out


def entries(folder: Path) -> list[Path]:
    return sorted(item for item in folder.rglob("*") if item.is_file())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_every_format_says_the_same(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    for asked in (
        ["--explain", "--verbose"],
        ["--format", "json"],
        ["--format", "sarif"],
        ["--xen", "4.17,4.20", "--request", "9"],
    ):
        plain = ran(capsys, *TREES, *asked)
        assert ran(capsys, *TREES, *asked, "--cache", str(folder)) == plain
        assert ran(capsys, *TREES, *asked, "--cache", str(folder)) == plain
    assert len(entries(folder)) == 2 * len(TREES)  # formats are no part of the question


def test_what_is_kept_is_not_done_again(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    calls: list[str] = []

    def work(given: Given) -> module.Checked:
        calls.append(given.name)
        return [], []

    for asked, name, data in ((b"a", "x", b"1"), (b"a", "x", b"1"), (b"b", "x", b"1"), (b"a", "y", b"1"), (b"a", "x", b"2")):
        assert cached(work, Cache(str(folder), asked))(Given(name, data)) == ([], [])
    assert calls == ["x", "x", "y", "x"]
    monkeypatch.setattr(module, "__version__", "another")
    cached(work, Cache(str(folder), b"a"))(Given("x", b"1"))
    assert len(calls) == 5


def test_failures_and_sources_are_not_kept(capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.dtb").write_bytes(b"no tree")
    (tmp_path / "a.dts").write_text("no source")
    for name in ("bad.dtb", "a.dts", "none.dtb"):
        assert ran(capsys, str(tmp_path / name), "--cache", str(folder))[0] == 2
    assert entries(folder) == []


@pytest.mark.parametrize(
    "spoil", ["cut", "flipped", "empty", "other key", "link", "fifo", "writable", "foreign kind", "long"]
)
def test_what_is_no_entry_is_never_taken(
    capsys: pytest.CaptureFixture[str], folder: Path, tmp_path: Path, spoil: str
) -> None:
    plain = ran(capsys, GUEST)
    ran(capsys, GUEST, "--cache", str(folder))
    (entry,) = entries(folder)
    data = entry.read_bytes()
    entry.unlink()
    if spoil == "link":
        (tmp_path / "elsewhere").write_bytes(data)
        entry.symlink_to(tmp_path / "elsewhere")
    elif spoil == "fifo":
        os.mkfifo(entry)
    else:
        key = entry.name.encode()
        foreign = b'["list",["tuple",["os:stat_result"]]]'
        entry.write_bytes(
            {
                "cut": data[:-40],
                "flipped": data[:-9] + bytes([data[-9] ^ 1]) + data[-8:],
                "empty": b"",
                "other key": signed(b"0" * 64, data[50:]),
                "writable": data.replace(b"2 sections", b"9 sections"),
                "foreign kind": signed(key, foreign),
                "long": signed(key, b" " * (2 << 20) + data[50:]),
            }[spoil]
        )
        entry.chmod(0o666 if spoil == "writable" else 0o600)
    assert ran(capsys, GUEST, "--cache", str(folder)) == plain


def signed(key: bytes, content: bytes) -> bytes:
    """Return an entry whose checksum is right."""
    import hashlib

    return b"dtanalyze cache 1\n" + hashlib.sha256(key + content).digest() + content


def test_an_entry_is_read_indeed(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    ran(capsys, GUEST, "--cache", str(folder))
    (entry,) = entries(folder)
    content = entry.read_bytes()[50:].replace(b"region-cut-by-xen", b"region-cut-by-elf")
    entry.write_bytes(signed(entry.name.encode(), content))
    assert "region-cut-by-elf" in ran(capsys, GUEST, "--cache", str(folder))[1]


def test_a_folder_that_others_can_write_into(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SystemExit) as left:
        main(["check", GUEST, "--cache", str(folder)])
    said = capsys.readouterr()
    assert left.value.code == 2 and "others could write into it" in said.err and not said.out


def test_two_writers_at_once(folder: Path) -> None:
    argv = [sys.executable, "-m", "dtanalyze", "check", *TREES, "--format", "json"]
    plain = subprocess.run(argv, capture_output=True, cwd=ROOT, check=False)
    again = [*argv, "--cache", str(folder), "--jobs", "2"]
    runs = [subprocess.Popen(again, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(2)]
    outs = [run.communicate()[0] for run in runs]
    assert outs == [plain.stdout, plain.stdout]
    assert len(entries(folder)) == len(TREES)
    assert subprocess.run(again, capture_output=True, cwd=ROOT, check=False).stdout == plain.stdout


def test_it_does_not_grow_without_end(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(module, "_MOST_SHELF", 1000)
    cache = Cache(str(folder), b"")
    for number in range(40):
        cache.put(f"00{number:062x}", ([(f"{number:080}",)], []))  # type: ignore[list-item]  # plain data
        held = sum(item.stat().st_size for item in entries(folder))
        assert 0 < held <= 1000
        assert cache.get(f"00{number:062x}") is not None
    assert cache.get(f"00{0:062x}") is None


def test_a_disk_that_takes_nothing_costs_nothing(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    plain = ran(capsys, GUEST)
    assert ran(capsys, GUEST, "--cache", str(folder)) == plain
    assert entries(folder) == []


def test_only_plain_data_is_stored() -> None:
    data = ((1, -(1 << 70), True, None, "\udc80é"), b"\x00\xff", [()], frozenset({"b", "a"}), {("a", 1): "b"})
    assert from_bytes(to_bytes(data)) == data
    for wrong in ({"a": 1.5}, 1.5, object(), {1}, Path("x")):
        with pytest.raises(NotStorableError):
            to_bytes(wrong)
    for wrong in (
        {"a": 1},
        1.5,
        [],
        ["os:system", "x"],
        ["findings:Severity", "none"],
        ["findings:Source"],
        ["findings:Final"],
    ):
        with pytest.raises(NotStorableError):
            from_bytes(json.dumps(wrong).encode())

"""What is said of a source that gives no tree: the line that says so, in the user's names, and what would help."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dtanalyze.cli import main

pytestmark = pytest.mark.skipif(
    shutil.which("dtc") is None or shutil.which("cpp") is None, reason="no dtc or cpp (Debian: device-tree-compiler, cpp): sources are NOT tested"
)  # fmt: skip

HEAD = b"/dts-v1/;\n"
NODE = b"/ { a = <1 };\n"
"""A syntax error at column 12 of its line."""


def said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], source: bytes, *argv: str
) -> str:
    (tmp_path / "boards").mkdir(exist_ok=True)
    (tmp_path / "boards" / "board.dts").write_bytes(source)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(["check", "boards/board.dts", *argv])
    printed = capsys.readouterr().err
    assert left.value.code == 2 and printed.count("\n") == 1
    return printed.removeprefix("dtanalyze: boards/board.dts: ").rstrip("\n")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (b" \n", "the source is empty"),
        (b"\xd0\x0d\xfe\xed\x00\x00\x00\x48", "it is a compiled tree, where a source is wanted"),
        ("/dts-v1/;\n".encode("utf-16"), "the source is UTF-16, which neither cpp nor dtc reads: iconv -f UTF-16 -t UTF-8 converts it"),
        ("/dts-v1/;\n".encode("utf-16-le"), "the source is no text: byte 0x1 of it is zero (UTF-16 without a mark has every second byte so)"),
        (b"/ { };\n", "dtc: boards/board.dts:1:1: syntax error (a source begins with /dts-v1/;)"),
        (HEAD + NODE, "dtc: boards/board.dts:2:12: syntax error"),
        (HEAD + b"#define X 1\n\n" + NODE, "dtc: boards/board.dts:4:12: syntax error"),
        (HEAD + b"#error not for this board\n/ { };\n", "cpp: boards/board.dts:2:2: error: #error not for this board"),
        (HEAD + b"#if 1\n/ { };\n", "cpp: boards/board.dts:2: error: unterminated #if"),
        (
            HEAD + b'#include "gone.dtsi"\n',
            "cpp: boards/board.dts:2:10: fatal error: gone.dtsi: No such file or directory (-I FOLDER names where it lies)",
        ),
        (
            HEAD + b"#include <dt-bindings/gpio/gpio.h>\n",
            "cpp: boards/board.dts:2:10: fatal error: dt-bindings/gpio/gpio.h: No such file or directory"
            " (-I FOLDER names the include folder of a kernel source)",
        ),
        (
            HEAD + b'/include/ "gone.dtsi"\n/ { };\n',
            "dtc: FATAL ERROR: Couldn't open \"gone.dtsi\": No such file or directory (-I FOLDER names where it lies)",
        ),
        (
            HEAD + b"/ {\n\tb { };\n\tb { };\n};\n",
            "dtc: boards/board.dts:4:4: ERROR (duplicate_node_names): /b: Duplicate node name",
        ),
        (HEAD + b"/ { a = <&gone>; };\n", 'dtc: boards/board.dts:2:3: ERROR (phandle_references): /: Reference to non-existent node or label "gone"'),
        # A name with a newline, which dtc prints as it is.
        (HEAD + b'#line 7 "\\nb"\n' + NODE, "dtc: boards/\\nb:7:12: syntax error"),
        (HEAD + b'#line 7 "a\\nb"\n' + NODE, "dtc: boards/a\\nb:7:12: syntax error"),
    ],
)  # fmt: skip
def test_one_sentence(
    source: bytes, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(tmp_path, monkeypatch, capsys, source) == sentence


def test_an_include_is_named_as_the_user_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "soc.dtsi").write_bytes(b"\n" + NODE)
    assert said(tmp_path, monkeypatch, capsys, HEAD + b'#include "soc.dtsi"\n') == "dtc: boards/soc.dtsi:2:12: syntax error"


def test_a_folder_called_include_is_no_include(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """cpp's line markers name the header, and ``/include/`` is a word of dtc's as well."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "where.h").write_bytes(b"#define X 1\n")
    found = said(tmp_path, monkeypatch, capsys, HEAD + b"#include <where.h>\n" + NODE, "-I", "include")
    assert found == "dtc: boards/board.dts:3:12: syntax error"


def test_a_byte_order_mark_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(tmp_path, monkeypatch, capsys, b"\xef\xbb\xbf" + HEAD + NODE) == "dtc: boards/board.dts:2:12: syntax error"


def test_sources_are_preprocessed_as_the_kernels_build_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """scripts/Makefile.lib: dtc_cpp_flags has -undef -D__DTS__, so that headers can tell a devicetree from C."""
    text = HEAD + b"#ifndef __DTS__\n#error no devicetree\n#endif\n#ifdef __GNUC__\n#error C\n#endif\n" + NODE
    assert said(tmp_path, monkeypatch, capsys, text) == "dtc: boards/board.dts:8:12: syntax error"


def test_what_cpp_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "h").mkdir()
    (tmp_path / "h" / "more.h").write_bytes(b"#ifdef GOOD\n#error from the header\n#endif\n")
    found = said(tmp_path, monkeypatch, capsys, HEAD + b"/ { };\n", "-D", "GOOD", "--cpp-args", "-include h/more.h")
    assert found.endswith("more.h:2:2: error: #error from the header")
    found = said(tmp_path, monkeypatch, capsys, HEAD + b"#include <more.h>\n", "--cpp-args", "-D GOOD -I h")
    assert found.endswith("more.h:2:2: error: #error from the header")
    found = said(
        tmp_path, monkeypatch, capsys, HEAD + b"#ifdef GOOD\n#error good\n#endif\n" + NODE, "-D", "GOOD", "--cpp-args=-UGOOD"
    )
    assert found == "dtc: boards/board.dts:5:12: syntax error"


@pytest.mark.parametrize("args", ["-o out", "-MD", "-D", "-I -D", "-Wp,-MF,x", "board.dts", "'"])
def test_what_cpp_is_not_given(
    args: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(tmp_path, monkeypatch, capsys, HEAD + b"/ { };\n", f"--cpp-args={args}").startswith("dtanalyze: --cpp-args")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["boards"]


def test_another_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\necho '<stdin>:3.4-9 too bad' >&2\nexit 1\n")
    mine.chmod(0o755)
    source = HEAD + b"/ { };\n"
    assert said(tmp_path, monkeypatch, capsys, source, "--dtc", str(mine)) == "dtc: boards/board.dts:3:4: too bad"
    assert said(tmp_path, monkeypatch, capsys, source, "--dtc", "./gone") == "--dtc ./gone: there is no such program"
    mine.write_text("#!/bin/sh\nexit 0\n")
    assert (
        said(tmp_path, monkeypatch, capsys, source, "--dtc", str(mine))
        == "dtc says nothing against the source, and writes nothing"
    )


def test_every_format_names_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """In the include, not in the board that was named: there is where somebody has to look."""
    (tmp_path / "boards").mkdir()
    (tmp_path / "boards" / "soc.dtsi").write_bytes(b"\n" + NODE)
    (tmp_path / "boards" / "board.dts").write_bytes(HEAD + b'#include "soc.dtsi"\n')
    monkeypatch.chdir(tmp_path)
    out = {}
    for name in ("github", "concise", "gitlab", "sarif", "json"):
        with pytest.raises(SystemExit):
            main(["check", "boards/board.dts", "--format", name])
        out[name] = capsys.readouterr().out
    words = "dtc: boards/soc.dtsi:2:12: syntax error"
    assert out["github"] == f"::error file=boards/soc.dtsi,line=2,col=12,title=unreadable input::{words}\n"
    assert out["concise"] == f"boards/soc.dtsi:2:12: error: unreadable: {words}\n"
    (item,) = json.loads(out["gitlab"])
    assert item["location"] == {"path": "boards/soc.dtsi", "lines": {"begin": 2}}
    (told,) = json.loads(out["sarif"])["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    place = told["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "boards/soc.dtsi"}, "region": {"startLine": 2, "startColumn": 12}}
    (error,) = json.loads(out["json"])["errors"]
    assert error["source"] == {"file": "boards/soc.dtsi", "line": 2, "column": 12}
    assert (error["path"], error["offset"]) == ("boards/board.dts", None)


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (b"#if 1\n/ { };\n", 2),  # cpp names no column
        (b"/ {\n\ta; /* dtanalyze: suppress never: because */\n};\n", 3),
        (b'/include/ "gone.dtsi"\n/ { };\n', None),  # dtc does not say where
    ],
)
def test_json_names_the_line_where_there_is_one(
    source: bytes, line: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "board.dts"
    path.write_bytes(HEAD + source)
    with pytest.raises(SystemExit):
        main(["check", str(path), "--format", "json"])
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert error.get("source") == (line and {"file": str(path), "line": line, "column": None})

"""The site's documents: their commands run and say what the pages say, their examples run, the site builds without a warning."""

from __future__ import annotations

import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from dtanalyze.cli import main

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = ("index", "tutorial", "first-gate", "how-to", "model", "json", "python")


def text(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


def transcripts() -> list[tuple[str, str, tuple[str, ...]]]:
    """Return each ``$ command`` of a console block with the lines that the page shows of its output."""
    found = []
    for page in PAGES:
        for block in re.findall(r"```console\n(.*?)```", text(page), re.S):
            command, *lines = block.strip().splitlines()
            found.append((page, command.removeprefix("$ "), tuple(lines)))
    return found


@pytest.mark.parametrize(("page", "command", "lines"), transcripts())
def test_a_transcript_is_what_the_command_prints(
    page: str, command: str, lines: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as left:
        main(shlex.split(command)[1:])
    printed = " ".join(capsys.readouterr().out.split())
    assert left.value.code in (None, 0, 1)
    for line in lines:
        for part in filter(None, (piece.strip() for piece in line.split("…"))):
            assert part in printed, f"{page}: {part}"


def test_there_are_transcripts() -> None:
    assert len(transcripts()) >= 3


@pytest.mark.parametrize("page", PAGES)
def test_examples_in_python_run(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    for example in re.findall(r"```python\n(.*?)```", text(page), re.S):
        exec(compile(example, f"docs/{page}.md", "exec"), {})
    capsys.readouterr()


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="mkdocs is not installed: the site is NOT built")
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    rules = tmp_path / "site" / "rules"
    assert (rules / "x08.html").is_file() and (rules / "v-no-boot.html").is_file()
    assert 'href="rules/x08.html"' in (tmp_path / "site" / "rules.html").read_text()
    # Pages ask no other host: scripts, styles, fonts and pictures lie beside them.
    for page in (tmp_path / "site").rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|iframe)[^>]+src="(https?:[^"]+)"|<link[^>]+rel="stylesheet"[^>]+href="(https?:[^"]+)"',
            page.read_text(),
        )
        assert not loaded, f"{page.name}: {loaded}"

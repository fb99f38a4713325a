"""The site's documents: their commands run and say what the pages say, their examples run, the site builds without a warning."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dtanalyze.cli import main
from dtanalyze.findings import Severity
from dtanalyze.linux.boot import Verdict

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = ("index", "tutorial", "first-gate", "how-to", "model", "contract", "json", "python")


def text(page: str) -> str:
    return (DOCS / f"{page}.md").read_text(encoding="utf-8")


LAB = "python -m lab "


def transcripts(page: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return each ``$ command`` of the page's console blocks with the lines that the page shows of its output."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", text(page), re.S):
        command, *lines = block.strip().splitlines()
        found.append((command.removeprefix("$ "), tuple(lines)))
    return found


def lacks(lines: tuple[str, ...], printed: str) -> list[str]:
    """Return what a page shows and the output has not; an ellipsis stands for anything."""
    said = " ".join(printed.split())
    return [part for line in lines for piece in line.split("…") if (part := piece.strip()) and part not in said]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_played_in_its_order(
    page: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In a folder of its own beside the fixtures: what one command writes the next one reads."""
    (tmp_path / "fixtures").symlink_to(ROOT / "fixtures")
    monkeypatch.chdir(tmp_path)
    for command, lines in transcripts(page):
        if command.startswith(LAB):
            continue
        with pytest.raises(SystemExit) as left:
            main(shlex.split(command)[1:])
        assert left.value.code in (None, 0, 1), command
        assert lacks(lines, capsys.readouterr().out) == [], command


CACHE = os.environ.get("LAB_CACHE")


@pytest.mark.skipif(
    CACHE is None or shutil.which("qemu-system-aarch64") is None,
    reason="no LAB_CACHE with Debian's Xen, or no QEMU: the boot of the tutorial is NOT played",
)
def test_the_boot_of_the_tutorial(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    commands = dict(transcripts("tutorial"))
    (fix,) = [command for command in commands if command.startswith("dtanalyze fix ")]
    with pytest.raises(SystemExit):
        main(shlex.split(fix.replace("fixtures/", f"{ROOT}/fixtures/"))[1:])
    (boot,) = [command for command in commands if command.startswith(LAB)]
    words = shlex.split(boot.replace("fixed.dtb", str(tmp_path / "fixed.dtb")))
    ran = subprocess.run([sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert lacks(commands[boot], ran.stdout) == []


def test_the_recorded_boot_of_the_tutorial_says_what_the_page_shows() -> None:
    """The console that is shipped is that of the page's own boot: its lines are in it too."""
    shown = next(lines for command, lines in transcripts("tutorial") if command.startswith(LAB))
    assert lacks(shown, (ROOT / "fixtures" / "lab" / "zcu102-fixed" / "xen.txt").read_text(encoding="utf-8")) == []


def test_there_are_transcripts() -> None:
    assert sum(len(transcripts(page)) for page in PAGES) >= 7


@pytest.mark.parametrize("page", PAGES)
def test_examples_in_python_run(page: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(ROOT)
    for example in re.findall(r"```python\n(.*?)```", text(page), re.S):
        exec(compile(example, f"docs/{page}.md", "exec"), {})
    capsys.readouterr()


def test_the_contract_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """Each option in the help of its command, each word in the program's own lists."""
    page = text("contract")
    kinds = dict(re.findall(r"^\| (verdicts|severities|trees) \| (.*) \|$", page, re.M))
    told = {kind: set(re.findall(r"`([^`]+)`", words)) for kind, words in kinds.items()}
    assert told["verdicts"] == {item.value for item in Verdict} and told["severities"] == {item.label for item in Severity}
    rows = re.findall(r"^\| `(\w+)` \| (.*--.*) \|$", page, re.M)
    assert {name for name, _ in rows} == {"check", "predict", "addresses", "diff", "fix", "map", "verify"}
    for name, row in rows:
        with pytest.raises(SystemExit):
            main([name, "--help"])
        assert set(re.findall(r"`(--[\w-]+)`", row)) <= set(re.findall(r"--[\w-]+", capsys.readouterr().out)), name


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

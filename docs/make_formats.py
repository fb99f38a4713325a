"""Write docs/formats.md and docs/formats/: what every format says of one tree with three kinds of faults.

``make docs`` runs it. The tree is a recorded one of the repository, the faults are an overlay of 640 bytes beside this file.
With Chromium installed it also takes the picture in the README.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
TREE = "fixtures/dtb/boots/16b-zcu102-61dtb-x420.dtb"
OVERLAY = "docs/formats/three-faults.dtbo"
ASKED = [TREE, "--overlay", OVERLAY, "--linux", "6.12"]

# Format: the file, what reads it, how it was checked, and how a pipeline hands it over.
FORMATS = {
    "text": ("report.txt", "people, on a terminal", "it is what a person reads", ""),
    "json": (
        "report.json",
        "programs; its form is versioned by `schema_version`",
        "a test holds its keys and types against the documented ones",
        "",
    ),
    "sarif": (
        "report.sarif",
        "GitHub code scanning, Azure DevOps, editors",
        "valid against the schema of SARIF 2.1.0",
        "- uses: github/codeql-action/upload-sarif@v3\n  with:\n    sarif_file: dtanalyze.sarif",
    ),
    "junit": (
        "report.junit.xml",
        "Jenkins, GitLab, every CI system with test reports",
        "read back with a parser, its counts equal to its cases",
        "artifacts:\n  reports:\n    junit: junit.xml",
    ),
    "github": (
        "report.github.txt",
        "GitHub Actions, which turns lines on standard output into annotations",
        "each line taken apart as the runner does",
        "- run: dtanalyze check boards/ --format github",
    ),
    "gitlab": (
        "report.gitlab.json",
        "GitLab's Code Quality widget",
        "every field that GitLab requires, and no fingerprint twice",
        "artifacts:\n  reports:\n    codequality: gl-code-quality-report.json",
    ),
    "markdown": (
        "report.md",
        "a comment on a pull request",
        "rendered by a CommonMark parser with tables",
        "- run: gh pr comment --body-file dtanalyze.md",
    ),
}
EXCERPT = 24  # lines


def _run(*argv: str) -> str:
    """Return what a command prints; its findings are the point, so that status 1 is no failure."""
    ran = subprocess.run(
        [sys.executable, "-m", "dtanalyze", *argv], cwd=ROOT, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if ran.returncode not in (0, 1):
        raise SystemExit(f"{shlex.join(argv)}: {ran.stderr}")
    return ran.stdout


def pages() -> dict[str, str]:
    """Return every page by its name below docs/."""
    made: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        wanted = [part for name, entry in FORMATS.items() for part in ("--format", name, "--output", str(out / entry[0]))]
        _run("check", *ASKED, "--no-config", *wanted)
        _run("map", *ASKED, "--svg", str(out / "map.svg"), "--html", str(out / "map.html"))
        for path in sorted(out.iterdir()):
            made[f"formats/{path.name}"] = path.read_text(encoding="utf-8")
    made["formats.md"] = _page(made, _run("map", *ASKED, "--color", "never"))
    return made


def _page(made: dict[str, str], picture: str) -> str:
    asked = " ".join(ASKED)
    lines = [
        "# What each format says",
        "",
        "One tree, three kinds of faults, every format. The tree is the one that Xen 4.20 wrote for dom0 on a ZCU102",
        f"(`{TREE}`, recorded), the faults are [an overlay](formats/three-faults.dtso): an extended",
        "region over a window of the PCI bridge, two reservations that overlap, a device over another one. A fourth",
        "finding, that Xen 4.20 cuts each region short, is the recorded tree's own. All of this page was printed by",
        "",
        "```",
        f"dtanalyze check {asked} \\",
        *(f"    --format {name} --output {entry[0]} \\" for name, entry in list(FORMATS.items())[:-1]),
        f"    --format markdown --output {FORMATS['markdown'][0]}",
        f"dtanalyze map {asked} --svg map.svg --html map.html",
        "```",
        "",
        "and is made anew by `make docs`; a test compares.",
    ]
    for name, (file, reader, checked, use) in FORMATS.items():
        text = made[f"formats/{file}"]
        shown = text.splitlines()
        lines += ["", f"## {name}", "", f"For {reader}. Checked: {checked}. Whole: [{file}](formats/{file})."]
        if use:
            lines += ["", "```yaml", use, "```"]
        lines += ["", f"```{_language(name)}", *shown[:EXCERPT], *(["…"] if len(shown) > EXCERPT else []), "```"]
    lines += [
        "",
        "## Pictures",
        "",
        "`dtanalyze map` draws in the terminal:",
        "",
        "```",
        *picture.splitlines(),
        "```",
        "",
        "`--svg map.svg` writes a picture for a document:",
        "",
        "![The address space of the tree](formats/map.svg)",
        "",
        "`--html map.html` writes [one page](formats/map.html) that needs nothing else, for a CI artifact. Findings of one",
        "cause are one card, named on the map, in the row and on the card. Scripts add zoom, the allocation step by step",
        "and a search. Seen in Chromium:",
        "",
        "![The page in a browser](map.png)",
    ]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _language(name: str) -> str:
    return {"json": "json", "sarif": "json", "gitlab": "json", "junit": "xml", "markdown": "markdown"}.get(name, "")


def main() -> None:
    """Write all pages, and the picture when a browser is there."""
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        sys.stderr.write("no Chromium: docs/map.png stays as it is\n")
        return
    page = (DOCS / "formats" / "map.html").as_uri()
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--disable-lcd-text",
        "--window-size=1300,1180",
    ]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [browser, *flags, f"--user-data-dir={folder}", f"--screenshot={DOCS / 'map.png'}", page],
            capture_output=True,
            check=True,
        )


if __name__ == "__main__":
    main()

"""``python docs/upstream.py XEN [--since COMMIT] [--until COMMIT]``: what changed upstream in the files that are mirrored.

XEN is any clone of https://xenbits.xen.org/git-http/xen.git, bare or not. The files are those that the docstrings of
`dtanalyze.xen` name, at their old and their new places. A new release is read so: each commit is judged, and either changes
nothing here, or becomes a field of the profile with its name.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

PINNED: Final = "c447b7308b"
"""The commit of Xen's master that the mirrors were last compared with (August 2026)."""
_PATH: Final = re.compile(r"\b(?:arch/arm|common|drivers)/[\w/.-]+\.c\b")
_MIRRORS: Final = Path(__file__).resolve().parent.parent / "dtanalyze" / "xen"


def mirrored_files() -> list[str]:
    """Return the paths below xen/ that the mirrors' sources name."""
    found = {name for path in sorted(_MIRRORS.glob("*.py")) for name in _PATH.findall(path.read_text(encoding="utf-8"))}
    return sorted(f"xen/{name}" for name in found)


def commits(clone: Path, since: str, until: str) -> str:
    """Return a line for each commit, the oldest first; raise `CalledProcessError` when git cannot tell."""
    argv = ["git", "-C", str(clone), "log", "--reverse", "--no-merges", "--format=%h %as %s", f"{since}..{until}", "--"]
    return subprocess.run([*argv, *mirrored_files()], check=True, capture_output=True, text=True).stdout


def main(argv: list[str]) -> int:
    """Print the commits; leave with status 2 when the clone cannot be read."""
    parser = argparse.ArgumentParser(description="Xen's commits to the mirrored files.")
    parser.add_argument("clone", type=Path)
    parser.add_argument("--since", default=PINNED)
    parser.add_argument("--until", default="HEAD")
    asked = parser.parse_args(argv)
    try:
        sys.stdout.write(commits(asked.clone, asked.since, asked.until))
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{asked.clone}: {error.stderr.strip()}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

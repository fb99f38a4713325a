"""Put the page that needs no install together: ``python web/build.py FOLDER``.

Beside the page's own files it takes our wheel, those it depends on, and Pyodide from its npm package. Nothing of them is
kept in the repository, and the page asks no other host for anything.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
PYODIDE: Final = "pyodide@314.0.7"
RUNTIME: Final = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")
OWN: Final = ("worker.js", "try.js", "try.css", "answer.py")
NEEDED: Final = ("fdt", "intervaltree", "sortedcontainers")
"""What the library imports, and what that needs; typer serves the command line alone."""


def build(folder: Path) -> None:
    """Write the page into ``folder``, which is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in OWN:
        shutil.copy(HERE / name, folder / name)
    page = (HERE / "index.html").read_text(encoding="utf-8").replace("@SCRIPTS@", _script_hash())
    (folder / "index.html").write_text(page, encoding="utf-8")
    wheels = sorted(path.name for path in _wheels(folder))
    (folder / "wheels.json").write_text(json.dumps(wheels), encoding="utf-8")
    _runtime(folder / "pyodide")


def _script_hash() -> str:
    """The map's own script, which stands in the frame's text, is let through by its hash and nothing else is."""
    script = (ROOT / "dtanalyze" / "report" / "picture" / "page.js").read_bytes()
    return f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"


def _wheels(folder: Path) -> list[Path]:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    with tempfile.TemporaryDirectory() as made:
        subprocess.run([*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", made, str(ROOT)], check=True)
        constraints = str(ROOT / "constraints.txt")
        subprocess.run([*pip, "download", "--no-deps", "-c", constraints, "-d", made, *NEEDED], check=True)
        return [Path(shutil.copy(path, folder)) for path in Path(made).glob("*.whl")]


def _runtime(folder: Path) -> None:
    folder.mkdir()
    with tempfile.TemporaryDirectory() as made:
        subprocess.run(["npm", "pack", "--silent", PYODIDE], cwd=made, check=True, stdout=subprocess.DEVNULL)
        with tarfile.open(next(Path(made).glob("*.tgz"))) as packed:
            for name in RUNTIME:
                member = packed.extractfile(f"package/{name}")
                if member is None:
                    raise SystemExit(f"{PYODIDE} holds no {name}")
                (folder / name).write_bytes(member.read())


if __name__ == "__main__":
    build(Path(sys.argv[1]))

"""``make dist``: the wheel and the source distribution, in dist/, the same bytes each time.

setuptools makes the same wheel of the same files; in a source distribution it leaves when and by whom each file was written.
Here all of them are of the time of the last commit (or SOURCE_DATE_EPOCH), in order and nobody's. Both are made twice, of
two copies of what git holds: leaves with 1 when they differ.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
BUILD: Final = "import sys; from setuptools import build_meta as b; to = sys.argv[1]; b.build_wheel(to); b.build_sdist(to)"


def normalized(packed: bytes, when: int) -> bytes:
    """Return a source distribution with its members in order, all of one time, of user 0 and of two modes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(packed)) as given, tarfile.open(fileobj=out, mode="w") as made:
        for member in sorted(given.getmembers(), key=lambda item: item.name):
            member.mtime, member.uid, member.gid, member.uname, member.gname = when, 0, 0, "", ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            member.pax_headers = {}
            made.addfile(member, given.extractfile(member) if member.isfile() else None)
    return gzip.compress(out.getvalue(), mtime=when)


def built(when: int, folder: Path) -> dict[str, bytes]:
    """Return what is built of a copy of what git holds, by name."""
    source, made = folder / "source", folder / "made"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, listed.split("\0")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(when)}
    ran = subprocess.run(
        [sys.executable, "-c", BUILD, str(made)], cwd=source, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise RuntimeError(ran.stderr)
    read = {path.name: path.read_bytes() for path in sorted(made.iterdir())}
    return {name: normalized(data, when) if name.endswith(".tar.gz") else data for name, data in read.items()}


def main() -> int:
    """Build twice, compare, write and print the sums."""
    last = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, check=True).stdout
    when = int(os.environ.get("SOURCE_DATE_EPOCH") or last)
    found = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            found.append(built(when, Path(folder)))
    if found[0] != found[1]:
        print("two builds of the same files differ", file=sys.stderr)
        return 1
    if sorted(name.rpartition(".")[2] for name in found[0]) != ["gz", "whl"]:
        print(f"a wheel and a source distribution were wanted, not {', '.join(found[0]) or 'nothing'}", file=sys.stderr)
        return 1
    (ROOT / "dist").mkdir(exist_ok=True)
    for name, data in found[0].items():
        (ROOT / "dist" / name).write_bytes(data)
        print(f"{hashlib.sha256(data).hexdigest()}  dist/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

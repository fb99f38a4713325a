"""Devicetree sources through the standard compiler, and the C preprocessor where they include others."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from dtanalyze.errors import InputError

__all__ = ["compiled"]

_SECONDS: Final = 30
_PREPROCESS: Final = ("cpp", "-nostdinc", "-undef", "-x", "assembler-with-cpp")


def compiled(path: str) -> bytes:
    """Return the blob of a source file; raise `InputError` with the tool's first line when it cannot be made."""
    folder = str(Path(path).parent)
    source = Path(path).read_bytes()
    if b"#include" in source:
        source = _run([*_PREPROCESS, "-I", folder, path], b"")
    return _run(["dtc", "-q", "-@", "-I", "dts", "-O", "dtb", "-i", folder, "-o", "-", "-"], source)


def _run(argv: list[str], source: bytes) -> bytes:
    if shutil.which(argv[0]) is None:
        raise InputError(f"{argv[0]} is not installed, which a source file needs (Debian: device-tree-compiler, cpp)")
    try:
        ran = subprocess.run(argv, input=source, capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{argv[0]} takes longer than {_SECONDS} seconds") from error
    if ran.returncode:
        said = ran.stderr.decode("utf-8", "replace").strip().splitlines() or ["it gives no reason"]
        raise InputError(f"{argv[0]}: {said[0]}")
    return ran.stdout

"""Sources compiled as they would be, before anything is written: a copy of all files that were read, some of them changed.

The copy lies in a temporary folder below which each file has its absolute path, so that includes find each other as they do
at home. Only what the compiler has read is copied.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Final

from dtanalyze.inputs.dts import compiled, search_folders
from dtanalyze.inputs.reading import MAX_TEXT, READ, read_bytes
from dtanalyze.inputs.sourcing import Sourcing

__all__ = ["tried"]

_SECONDS: Final = 60.0


def tried(path: str, files: tuple[str, ...], changed: Mapping[str, bytes], sourcing: Sourcing) -> bytes:
    """Return the blob of the source at ``path`` with the content of some files ``changed``, by their names.

    ``files`` are all others that it was compiled from. Raises `InputError` where it does not compile.
    """
    new = {os.path.realpath(name): data for name, data in changed.items()}
    known = set(READ)
    try:
        with tempfile.TemporaryDirectory() as top:
            for name in (os.path.abspath(path), *files):
                _put(_below(top, name), new.get(os.path.realpath(name)) or read_bytes(name, MAX_TEXT))
            for folder in search_folders(path, sourcing):
                os.makedirs(_below(top, folder), exist_ok=True)
            there = sourcing._replace(includes=tuple(_below(top, os.path.abspath(item)) for item in sourcing.includes))
            main = _below(top, os.path.abspath(path))
            return compiled(main, read_bytes(main, MAX_TEXT), there, _SECONDS, annotated=False).blob
    finally:  # what was read of the copy is gone, and its inodes may be those of other files soon
        READ.intersection_update(known)


def _below(top: str, path: str) -> str:
    return os.path.join(top, path.lstrip("/"))


def _put(place: str, data: bytes) -> None:
    os.makedirs(os.path.dirname(place), exist_ok=True)
    with open(place, "wb") as file:
        file.write(data)

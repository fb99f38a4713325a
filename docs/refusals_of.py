"""``python docs/refusals_of.py XEN [TAG…]``: where Xen says no, and the account does not know it.

XEN is any clone of https://xenbits.xen.org/git-http/xen.git, bare or not; without tags it is asked of the releases that the
account was made from. Each panic, BUG, BUG_ON and each function that returns an error is looked up in
``dtanalyze/xen/refusals.tsv``; those that it lacks are listed, and leave status 1. A new release is read so: each line is
judged and becomes a row.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dtanalyze.xen.refusals import COMPARED, refusals

_FOLDERS: Final = ("arch/arm", "common", "drivers", "xsm", "lib")
_LEFT_OUT: Final = re.compile(
    r"x86|arm32|/acpi|/mpu/|riscv|ppc|hvm|amd/|vtd/|video/|/compat/|livepatch|kexec|vga|ehci|gdbstub|ubsan|coverage|xenoprof"
    r"|hypfs|/libfdt|test|xsm/flask/ss/(?!services)|flask/include"
)
"""Other machines, and what is not built for Arm or not before dom0 runs."""
_REFUSES: Final = r"\b(panic|BUG_ON|BUG)\(|-E[A-Z0-9]{3,}"
_CALL: Final = re.compile(r"\b(panic|BUG_ON|BUG)\(")
_ERROR: Final = re.compile(r"-E[A-Z0-9]{3,}\b")
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)
_HEAD: Final = re.compile(r"(?!#|typedef|struct .*\{$|enum )[A-Za-z_].*?\b\w+\s*\([^;]*$")
"""The first line of a function: it starts in the first column, and is no declaration."""
_CALLED: Final = re.compile(r"\b(\w+)\s*\(")
_ATTRIBUTES: Final = {"__acquires", "__releases", "__section", "__initcall", "DEFINE_PER_CPU", "attribute_", "__attribute__"}
_STRING: Final = re.compile(r'"((?:[^"\\]|\\.)*)"|PRI\w+')


class Place(NamedTuple):
    """Where Xen says no: the file below xen/, the function, and its words or condition."""

    path: str
    function: str
    says: str


def places(path: str, source: str) -> Iterator[Place]:
    """Yield the refusals of one source file."""
    source = _COMMENT.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), source)
    function, at = "(top)", 0
    for line in source.splitlines(keepends=True):
        if _HEAD.match(line):
            names = [name for name in _CALLED.findall(line) if name not in _ATTRIBUTES]
            function = names[0] if names else function
        for call in _CALL.finditer(line) if not line.lstrip().startswith("#") else ():
            yield Place(path, function, _said(call[1], _argument(source, at + call.end())))
        if _ERROR.search(line):
            yield Place(path, function, "returns an error")
        at += len(line)


def _argument(source: str, start: int) -> str:
    """Return what stands between the parentheses of a call; strings may hold some of their own."""
    depth, at, quoted = 1, start, False
    while depth and at < len(source):
        char = source[at]
        if char == "\\" and quoted:
            at += 1
        elif char == '"':
            quoted = not quoted
        elif not quoted:
            depth += (char == "(") - (char == ")")
        at += 1
    return source[start : at - 1]


def _said(kind: str, argument: str) -> str:
    if kind == "BUG":
        return "BUG()"
    if kind == "BUG_ON":
        return "BUG_ON(" + re.sub(r"\s+", " ", argument).strip() + ")"
    text = "".join(_STRING.findall(argument)) if '"' in argument else argument.strip()
    return text.removesuffix("\\n")


def refused(clone: Path, tag: str) -> Iterator[Place]:
    """Yield all refusals of a release; raise `CalledProcessError` when git cannot tell."""
    folders = [f"xen/{name}/*.{kind}" for name in _FOLDERS for kind in "ch"]
    listed = _git(clone, "grep", "-lP", _REFUSES, tag, "--", *folders).splitlines()
    for path in (line.partition(":")[2] for line in listed):
        if not _LEFT_OUT.search(path) and (path.endswith(".c") or "/efi/" in path):
            yield from places(path, _git(clone, "show", f"{tag}:{path}"))


def _git(clone: Path, *argv: str) -> str:
    return subprocess.run(["git", "-C", str(clone), *argv], check=True, capture_output=True, text=True).stdout


def unknown(clone: Path, tag: str) -> list[Place]:
    """Return the places that no row of the account covers, each once."""
    rows = refusals()
    found = dict.fromkeys(refused(clone, tag))
    return [item for item in found if not any(row.covers(Path(item.path).name, item.function, item.says) for row in rows)]


def main(argv: list[str]) -> int:
    """Print what the account lacks; leave with 1 when it lacks something, with 2 when the clone cannot be read."""
    parser = argparse.ArgumentParser(description="Where Xen says no, and the account of refusals does not know it.")
    parser.add_argument("clone", type=Path)
    parser.add_argument("tags", nargs="*", default=list(COMPARED.values()))
    asked = parser.parse_args(argv)
    lacking = 0
    for tag in asked.tags:
        try:
            found = unknown(asked.clone, tag)
        except subprocess.CalledProcessError as error:
            sys.stderr.write(f"{asked.clone}: {error.stderr.strip() or f'nothing of {tag}'}\n")
            return 2
        for item in found:
            sys.stdout.write(f"{tag}: {item.path}: {item.function}: {item.says}\n")
        sys.stdout.write(f"{tag}: {len(found)} refusals are not in the account\n")
        lacking += len(found)
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

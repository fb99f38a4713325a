"""``python -m tests.fuzz.injected``: every function that a command reaches raises in turn, while one of two inputs is looked at.

Whatever raises, that input is one failure ("internal error"), the status is 2, and the rest is as if the input could not have
been read at all. What is called for no input alone (arguments, the end of a document) is not made to raise, and neither is what
tells of an input that it has failed: whatever went from input to input, and spells their names.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import re
import sys
import tempfile
import unittest.mock as mock
from collections.abc import Collection, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

import dtanalyze
import dtanalyze.cli.run as running
from dtanalyze.cli import main as program
from dtanalyze.cli import rendering
from dtanalyze.cli.kept import Kept
from dtanalyze.cli.run import failure_of
from dtanalyze.errors import InputFailure
from dtanalyze.inputs.files import Given
from tests.conftest import FIXTURES

__all__ = ["CALLS", "TREES", "Answer", "Raising", "answer", "desk", "differs", "reached", "run"]

ROOT: Final = str(Path(dtanalyze.__file__).parent)
VICTIM: Final = "b.dtb"
GUEST: Final = FIXTURES / "dtb" / "boots" / "06c-1G-dom0-640M.dtb"
HOST: Final = FIXTURES / "dtb" / "hosts" / "06c-1G-dom0-640M.dtb"
TREES: Final = {"guest": GUEST, "host": HOST}
_CHECKS: Final = ("text", "concise", "json", "sarif", "junit", "github", "gitlab", "markdown")
CALLS: Final = (
    *(f"guest check a.dtb b.dtb --format {name}" for name in _CHECKS),
    "guest check a.dtb b.dtb --statistics --verbose --explain --request 1",
    "guest check a.dtb b.dtb --jobs 2",
    "guest check a.dtb b.dtb --cache cache",
    *(f"guest {name} a.dtb b.dtb{more}" for name in ("overlaps", "addresses") for more in ("", " --format json")),
    *(f"guest map a.dtb b.dtb{more}" for more in ("", " --list", " --html -")),
    *(f"guest diff old new{more}" for more in ("", " --format json", " --format markdown")),
    "host check a.dtb b.dtb --explain",
    "host check a.dtb b.dtb --format json --xen all",
    "host predict a.dtb b.dtb --explain",
    "host predict a.dtb b.dtb --format json",
    "host fix b.dtb --alternatives",
    "guest fix b.dtb --format json",
    "guest selftest a.dtb b.dtb",
    "guest selftest a.dtb b.dtb --format json",
)
"""Calls on two trees, ``a.dtb`` and ``b.dtb``, of the kind that stands before each."""


_BETWEEN: Final = ("Kept.", "Seen.", "CheckResult.location", "command.", "address_rules", "Found.add")
"""What holds results from one input to the next, and belongs to none."""


class Answer(NamedTuple):
    """What a call gives: status, standard output, standard error; whether the function raised."""

    status: int
    out: str
    err: str
    raised: bool


class Raising:
    """A trace function that raises whenever a function is called for its victim; ``codes`` has one for each victim's name."""

    def __init__(self, codes: dict[str, CodeType]) -> None:
        self.codes, self.done = codes, set[str]()
        self._any = frozenset(codes.values())

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code in self._any:
            victim = _victim(frame, self.codes)
            if victim is not None and self.codes[victim] is frame.f_code:
                self.done.add(victim)
                raise ZeroDivisionError("injected")

    def install(self) -> None:
        """Begin, or go on: Python drops a trace function that has raised."""
        sys.settrace(self)

    @contextlib.contextmanager
    def throughout(self) -> Iterator[None]:
        """Go on with the next input, and where inputs are rendered once more, each alone, since something has raised."""

        class Again(Kept[Any]):
            def __init__(kept) -> None:  # noqa: N805  # self is the one outside
                super().__init__()
                self.install()

        def failure(*given: Any) -> InputFailure:
            sys.settrace(None)
            found = failure_of(*given)
            self.install()
            return found

        with contextlib.ExitStack() as patched:
            for module in (rendering, running):
                patched.enter_context(mock.patch.object(module, "failure_of", failure))
            patched.enter_context(mock.patch.object(rendering, "Kept", Again))
            self.install()
            yield


def _victim(frame: FrameType | None, names: Collection[str]) -> str | None:
    """Return the victim that something above works on alone: on its name, its bytes, its results."""
    while frame is not None and frame.f_code.co_name != "command":
        ours = frame.f_code.co_filename.startswith(ROOT) and frame.f_code is not rendering.rendered.__code__
        for value in frame.f_locals.values() if ours else ():
            if (name := _name_in(value).rpartition("/")[2]) in names:
                return name
        frame = frame.f_back
    return None


def _name_in(value: object) -> str:
    if isinstance(value, str):
        return value
    name = getattr(value, "path", None) or getattr(value, "name", None) or getattr(value, "new", None)
    if isinstance(name, str):
        return name
    return _name_in(value[0]) if isinstance(value, tuple) and 1 <= len(value) <= 2 else ""


def run(argv: list[str]) -> tuple[int, str, str]:
    """Return the status of a call, and what it writes to both streams."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    status: object = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            program(argv)
        except SystemExit as left:
            status = left.code
        finally:
            sys.settrace(None)
    out.flush()
    said = out.buffer.getvalue().decode()
    return (status if isinstance(status, int) else 2), said, err.getvalue()


def answer(argv: list[str], code: CodeType) -> Answer:
    """Make a call in which a function raises for the victim, once."""
    raising = Raising({VICTIM: code})
    with raising.throughout():
        return Answer(*run(argv), bool(raising.done))


def _seen(argv: list[str], *, fails: bool) -> dict[CodeType, None]:
    """Return every function of the program that a call reaches for the victim, in the order of their first calls."""
    seen: dict[CodeType, None] = {}

    def watch(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event == "call" and code not in seen and code.co_filename.startswith(ROOT) and _victim(frame, (VICTIM,)):
            seen[code] = None

    def read(given: Given) -> object:
        if given.name.endswith(VICTIM):
            raise ZeroDivisionError("injected")
        return plain(given)

    plain = Given.read
    with mock.patch.object(Given, "read", read if fails else plain):
        sys.settrace(watch)
        run(argv)
    return seen


def reached(argv: list[str]) -> list[CodeType]:
    """Return the functions that a call reaches for the victim, without those that tell that it has failed."""
    handling = _seen(argv, fails=True)
    found = (code for code in _seen(argv, fails=False) if code not in handling and code.co_name != "<module>")
    return [code for code in found if not code.co_qualname.startswith(_BETWEEN)]


def _plain(found: Answer) -> tuple[int, str, str]:
    """Leave out where it was raised, and in which of two versions."""
    where = r"internal error: ZeroDivisionError at \w+\.py:\d+: please report it, with this input"
    out, err = (re.sub(where, "internal error: …", item) for item in (found.out, found.err))
    return found.status, out, err.replace("old/", "new/")


def differs(argv: list[str], codes: list[CodeType]) -> Iterator[tuple[CodeType, str]]:
    """Yield the functions whose defect costs more than the victim, or is no internal error, with what was said."""
    expected = _plain(answer(argv, Given.read.__code__))
    for code in codes:
        found = answer(argv, code)
        if found.raised and _plain(found) != expected:
            yield code, f"status {found.status}: {found.err.strip()[:300]}"


@contextlib.contextmanager
def desk(kind: str) -> Iterator[None]:
    """Have a folder with the two trees, and two folders with them, as working folder."""
    before = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        for place in (Path(folder), Path(folder, "old"), Path(folder, "new")):
            place.mkdir(exist_ok=True)
            for name in ("a.dtb", VICTIM):
                (place / name).write_bytes(TREES[kind].read_bytes())
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def main(argv: list[str]) -> int:
    """Go through all calls, or those that hold a word; list the functions whose defect costs more than one input."""
    asked = argparse.ArgumentParser(prog="tests.fuzz.injected", description="Each function raises in turn.")
    asked.add_argument("word", nargs="?", default="", help="only calls with this in them")
    asked.add_argument("--sample", type=int, default=0, metavar="N", help="only so many functions of each call")
    given = asked.parse_args(argv)
    tried = bad = 0
    for line in CALLS:
        kind, *call = line.split()
        if given.word not in line:
            continue
        with desk(kind):
            codes = reached(call)
            if given.sample:
                codes = random.Random(line).sample(codes, min(given.sample, len(codes)))
            tried += len(codes)
            found = list(differs(call, codes))
        bad += len(found)
        print(f"{line}: {len(codes)} functions, {len(found)} cost more than they may", flush=True)
        for code, said in found:
            print(f"  {Path(code.co_filename).relative_to(ROOT)}:{code.co_firstlineno} {code.co_qualname}: {said}", flush=True)
    print(f"{tried} functions, {bad} cost more than one input")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

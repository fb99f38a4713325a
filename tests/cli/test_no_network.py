"""Nothing is asked of the network at run time: no socket is ever made, whatever the command."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.test_cli import GOOD, ROOT

HOST = str(ROOT / "fixtures" / "dtb" / "hosts" / "01-dom0-x420-l612.dtb")
REFUSING = """
import sys
def hook(event, args):
    if event.startswith("socket."):
        raise SystemExit(f"{event}{args}")
sys.addaudithook(hook)
from dtanalyze.cli import main
main()
"""


@pytest.mark.parametrize(
    "call",
    [
        ("check", GOOD, HOST, "--fail-on", "never"),
        ("check", GOOD, HOST, "--fail-on", "never", "--jobs", "2", "--format", "sarif"),
        ("predict", HOST),
        ("map", GOOD, "--html", "-"),
        ("addresses", GOOD),
        ("diff", GOOD, GOOD),
        ("overlaps", GOOD),
        ("rules", "--format", "json"),
        ("explain", "X08"),
    ],
    ids=" ".join,
)
def test_no_socket(call: tuple[str, ...]) -> None:
    ran = subprocess.run([sys.executable, "-c", REFUSING, *call], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_refusal_works() -> None:
    script = REFUSING.replace("from dtanalyze.cli import main\nmain()", "import socket\nsocket.socket()")
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 1 and ran.stderr.startswith("socket.__new__")

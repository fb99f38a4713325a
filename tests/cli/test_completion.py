"""Shell completion: what a shell is offered, asked as a shell asks, and once by a real bash."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.test_cli import process


def offered(*words: str) -> list[str]:
    """Return what bash is offered for the last of ``words``."""
    line = "\n".join(["dtanalyze", *words])
    ran = process(_DTANALYZE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words)))
    return ran.stdout.decode().split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pre"], ["predict"]),
        (["check", "--over"], ["--overlay", "--overlay-matrix"]),
        (["check", "--linux", "6.1"], ["6.1", "6.12", "6.16"]),
        (["check", "--xen", "4.18,4.22"], ["4.18,4.22"]),
        (["check", "--iommu", ""], ["on", "off", "both"]),
        (["check", "--format", "s"], ["sarif"]),
        (["check", "--fail-on", "n"], ["never"]),
        (["check", "--ignore", "X12,X4"], [f"X12,X4{digit}" for digit in range(9)]),
        (["explain", "regions-not"], ["regions-not-ascending"]),
        (["check", "--need", ""], []),
        (["addresses", "--rules", ""], ["linux", "xen"]),
    ],
)
def test_offered(words: list[str], expected: list[str]) -> None:
    assert offered(*words) == expected


def test_a_real_bash(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    program = tmp_path / "dtanalyze"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m dtanalyze "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(dtanalyze --show-completion bash)"; COMP_WORDS=(dtanalyze predict --xen 4.2); COMP_CWORD=3; '
        'complete -p dtanalyze; _dtanalyze_completion dtanalyze; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run([bash, "--norc", "-c", script], capture_output=True, text=True, env=env, check=True)
    assert ran.stdout.splitlines() == [
        "complete -o default -F _dtanalyze_completion dtanalyze",
        "4.20.0",
        "4.20",
        "4.21",
        "4.22",
    ]


def test_other_runs_do_not_pay() -> None:
    script = """import sys
from dtanalyze.cli import main
try:
    main(["rules", "--format", "json"])
finally:
    print(*sys.modules, file=sys.stderr)"""
    root = Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=root, check=True)
    assert "dtanalyze.cli.rules" in ran.stderr.split() and "dtanalyze.cli.completion" not in ran.stderr.split()

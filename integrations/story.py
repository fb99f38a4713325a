"""The whole story on a repository made on the spot: install, a red pull request, the fix in its source, green.

``python integrations/story.py`` prints each step with its time, and leaves with status 1 when one does not end as it should.
``--keep FOLDER`` leaves the repository there, ``--index`` lets pip ask its index for what the program depends on; without it
pip takes nothing from anywhere, and the program shares what is installed beside this Python.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[1]
PARTS: Final = ("dtanalyze", "pyproject.toml", "README.md", "LICENSE")
"""All that the program is built from."""

BOARD: Final = """/dts-v1/;
/ {
	#address-cells = <2>;
	#size-cells = <2>;

	cpus {
		#address-cells = <1>;
		#size-cells = <0>;
		cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0>; };
	};

	memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x80000000>; };

	gic: interrupt-controller@3001000 {
		compatible = "arm,gic-v3";
		#interrupt-cells = <3>;
		interrupt-controller;
		interrupt-parent = <&gic>;
		reg = <0 0x3001000 0 0x10000>, <0 0x3020000 0 0x1000000>;
		interrupts = <1 9 4>;
	};

	timer {
		compatible = "arm,armv8-timer";
		interrupt-parent = <&gic>;
		interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>;
	};

	chosen { };
};
#include "soc.dtsi"
"""
SOC: Final = """/ {
	soc: soc {
		compatible = "simple-bus";
		#address-cells = <1>;
		#size-cells = <1>;
		/* the low bus, 256 MiB */
		ranges = <0x0 0x1 0x0 0x10000000>;

		spi@2000000 { reg = <0x2000000 0x1000>; };
	};
};
"""
SPI: Final = "\t\tspi@2000000 { reg = <0x2000000 0x1000>; };\n"
UART: Final = "\t\tuart@30000000 { reg = <0x30000000 0x1800>; };\n"
"""The change of the pull request: a device that the bus does not reach, so that Xen stops there."""
SETTINGS: Final = 'linux = "6.12"\nxen = "4.20"\n'


class FailedError(Exception):
    """A step did not end as it should; the text says how it ended."""


class Ran(NamedTuple):
    """What a command printed, and its status."""

    status: int
    out: str


class Story:
    """A folder with the repository, and the program once it is installed."""

    def __init__(self, folder: Path, *, index: bool) -> None:
        self.folder, self.index = folder, index
        self.project = folder / "project"
        self.environment = dict(os.environ)

    def install(self) -> str:
        """Install the program from its source into a fresh environment."""
        sources = self.folder / "dtanalyze-source"
        sources.mkdir()
        for part in PARTS:
            take = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            take(ROOT / part, sources / part)
        target = self.folder / "environment"
        alone = [] if self.index else ["--no-index", "--no-deps", "--no-build-isolation"]
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        self._run([*pip, *alone, "--target", str(target), str(sources)], self.folder, expect=0)
        program = self.folder / "dtanalyze"
        program.write_text(f'#!/bin/sh\nPYTHONPATH="{target}" exec "{sys.executable}" -m dtanalyze "$@"\n')
        program.chmod(0o755)
        self.environment |= {"DTANALYZE": str(program)}
        return self._run([str(program), "--version"], self.folder, expect=0).out.strip()

    def begin(self) -> str:
        """Make the repository: a board, the file of its system-on-chip, and the question in dtanalyze.toml."""
        boards = self.project / "boards"
        boards.mkdir(parents=True)
        (boards / "board.dts").write_text(BOARD)
        (boards / "soc.dtsi").write_text(SOC)
        (self.project / "dtanalyze.toml").write_text(SETTINGS)
        self._git("init", "--quiet", "--initial-branch=main")
        self._commit("a board")
        self._gate(expect=0)
        return "status 0"

    def pull_request(self) -> str:
        """Add the device, and have the gate annotate its line."""
        self._git("worktree", "add", "--quiet", "--detach", "../before", "main")
        self._git("switch", "--quiet", "--create", "uart")
        soc = self.project / "boards" / "soc.dtsi"
        soc.write_text(SOC.replace(SPI, SPI + UART))
        self._commit("soc: a UART")
        said = self._gate(expect=1)
        line = soc.read_text()[: soc.read_text().index(UART)].count("\n") + 1
        wanted = f"::error file=boards/soc.dtsi,line={line},"
        if not any(item.startswith(wanted) for item in said.splitlines()):
            raise FailedError(f"no annotation begins with {wanted}:\n{said}")
        return next(item for item in said.splitlines() if item.startswith(wanted))

    def mend(self) -> str:
        """Have the change made in the source, and commit it."""
        self._run([self.environment["DTANALYZE"], "fix", "boards/board.dts", "--write"], self.project, expect=0)
        changed = self._git("diff", "--unified=0").out
        self._commit("soc: the bus reaches the UART")
        return "\n".join(line for line in changed.splitlines() if re.match(r"[+-]\t", line))

    def green(self) -> str:
        """Run the gate again."""
        self._gate(expect=0)
        return (self.folder / "out" / "comment.md").read_text()

    def _gate(self, *, expect: int) -> str:
        """Do what the GitHub action does, in the same script."""
        before = self.folder / "before"
        asked = {
            "TREES": "boards/board.dts",
            "BASE_FOLDER": str(before) if before.exists() else "",
            "GITHUB_STEP_SUMMARY": "",
            "GITHUB_OUTPUT": "",
            "CHECK_OUTPUT": str(self.folder / "out"),
        }
        self.environment |= asked
        return self._run(["bash", str(ROOT / "integrations" / "github" / "check.sh")], self.project, expect=expect).out

    def _commit(self, message: str) -> None:
        self._git("add", "--all")
        who = ("-c", "user.name=story", "-c", "user.email=story@example.invalid", "-c", "commit.gpgsign=false")
        self._git(*who, "commit", "--quiet", "--message", message)

    def _git(self, *argv: str) -> Ran:
        return self._run(["git", *argv], self.project, expect=0)

    def _run(self, argv: list[str], folder: Path, *, expect: int) -> Ran:
        ran = subprocess.run(argv, cwd=folder, env=self.environment, capture_output=True, text=True, check=False)
        if ran.returncode != expect:
            raise FailedError(f"{' '.join(argv)}: status {ran.returncode}, not {expect}\n{ran.stdout}{ran.stderr}")
        return Ran(ran.returncode, ran.stdout)


def tell(story: Story) -> None:
    """Play every step and print what it says, with its time."""
    steps = (
        ("install", story.install),
        ("main is green", story.begin),
        ("the pull request is red", story.pull_request),
        ("dtanalyze fix boards/board.dts --write", story.mend),
        ("the pull request is green", story.green),
    )
    for number, (name, play) in enumerate(steps, 1):
        start = time.monotonic()
        said = play()
        sys.stdout.write(f"{number} {name:40} {time.monotonic() - start:5.1f} s\n")
        sys.stdout.write("".join(f"    {line}\n" for line in said.splitlines()))


def main() -> int:
    """Run as a command."""
    parser = argparse.ArgumentParser(description="Play the whole story on a repository made on the spot.")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="leave the repository there (a new folder)")
    parser.add_argument("--index", action="store_true", help="let pip ask its index for dependencies")
    asked = parser.parse_args()
    try:
        if asked.keep is not None:
            asked.keep.mkdir(parents=True)
            tell(Story(asked.keep.resolve(), index=asked.index))
        else:
            with tempfile.TemporaryDirectory() as folder:
                tell(Story(Path(folder), index=asked.index))
    except FailedError as error:
        sys.stdout.write(f"FAILED: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

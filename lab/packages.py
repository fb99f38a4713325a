"""Debian's arm64 packages, fetched with apt under a root of its own: the machine's own package lists are never touched.

Nothing is installed. A package is downloaded once into the cache, and single files are read out of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Cache", "MissingError", "Package"]

SUITES: Final = (
    ("http://deb.debian.org/debian", "bookworm"),
    ("http://deb.debian.org/debian", "bookworm-backports"),
    ("http://deb.debian.org/debian", "trixie"),
    ("http://deb.debian.org/debian", "trixie-backports"),
    ("http://deb.debian.org/debian", "sid"),
    ("http://deb.debian.org/debian", "experimental"),
    ("http://deb.debian.org/debian-security", "bookworm-security"),
    ("http://deb.debian.org/debian-security", "trixie-security"),
)
_KEYS: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
_TOOLS: Final = {"apt-get": "apt", "apt-cache": "apt", "dpkg": "dpkg", "dpkg-deb": "dpkg"}


class MissingError(Exception):
    """Something that the lab needs is not there; the text names it and how to get it."""


class Package(NamedTuple):
    """One version of one package."""

    name: str
    version: str


class Cache:
    """A folder that holds package lists and packages; shared by all runs."""

    def __init__(self, folder: Path) -> None:
        for tool, package in _TOOLS.items():
            if shutil.which(tool) is None:
                raise MissingError(f"{tool} is not there: the lab reads Debian packages, apt-get install {package}")
        self.folder = folder.absolute()
        self._config = self.folder / "apt.conf"
        self._index = self.folder / "versions.json"

    def update(self) -> None:
        """Fetch the package lists, unless they are there; raise `MissingError` when no suite can be reached."""
        if not self._config.exists() or not any(self.folder.glob("lists/*Packages*")):
            self._write_config()
            self._apt("apt-get", "update", "-q", check=False)
            self._index.unlink(missing_ok=True)
        if not any(self.folder.glob("lists/*Packages*")):
            raise MissingError("no Debian mirror can be reached, and arm64 packages of Xen and Linux are needed")

    def versions(self, pattern: str) -> tuple[Package, ...]:
        """Return what the suites have by names that match ``pattern``, oldest first (as dpkg orders versions).

        Remembered in the cache, as reading all suites takes seconds; fetching the lists anew forgets it.
        """
        known: dict[str, list[list[str]]] = json.loads(self._index.read_text()) if self._index.exists() else {}
        if pattern not in known:
            known[pattern] = [list(item) for item in self._versions(pattern)]
            self._index.write_text(json.dumps(known, indent=1))
        return tuple(Package(*item) for item in known[pattern])

    def _versions(self, pattern: str) -> tuple[Package, ...]:
        names = sorted(filter(re.compile(pattern).fullmatch, self._apt("apt-cache", "pkgnames").split()))
        lines = self._apt("apt-cache", "madison", *names).splitlines() if names else []
        found = {Package(*(part.strip() for part in line.split("|")[:2])) for line in lines if line.count("|") == 2}
        return tuple(sorted(found, key=lambda item: (_DebianOrder(item.version), item.name)))

    def depends(self, package: Package) -> tuple[Package, ...]:
        """Return what ``package`` names as ``name (= version)`` among its dependencies."""
        text = self._apt("apt-cache", "show", f"{package.name}={package.version}")
        line = next((item for item in text.splitlines() if item.startswith("Depends:")), "")
        return tuple(Package(*pair) for pair in re.findall(r"([\w.+-]+) \(= ([^)]+)\)", line))

    def file(self, package: Package) -> Path:
        """Return the package's .deb, downloaded when it is not there yet."""
        folder = self.folder / "debs"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{package.name}_{package.version.replace(':', '%3a')}_arm64.deb"
        if not path.exists():
            self._apt("apt-get", "download", "-q", f"{package.name}={package.version}", cwd=folder)
        if not path.exists():
            raise MissingError(f"{package.name} {package.version} (arm64) cannot be downloaded")
        return path

    def read(self, package: Package, pattern: str) -> dict[str, bytes]:
        """Return the package's files whose path (no leading ``./``) matches ``pattern`` in full, symbolic links left out."""
        wanted = re.compile(pattern)
        found: dict[str, bytes] = {}
        with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(self.file(package))], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    name = member.name.removeprefix("./")
                    stream = archive.extractfile(member) if member.isfile() and wanted.fullmatch(name) else None
                    if stream is not None:
                        found[name] = stream.read()
        return found

    def _write_config(self) -> None:
        for name in ("lists/partial", "archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        sources = "".join(f"deb [signed-by={_KEYS}] {url} {suite} main\n" for url, suite in SUITES)
        (self.folder / "sources.list").write_text(sources)
        settings = {
            "Dir::State": self.folder,
            "Dir::State::Lists": self.folder / "lists",
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder,
            "Dir::Etc::sourcelist": self.folder / "sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Architecture": "arm64",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::http::Timeout": "20",
            "Acquire::Retries": "1",
        }
        text = "".join(f'{key} "{value}";\n' for key, value in settings.items())
        self._config.write_text(text + 'APT::Architectures { "arm64"; };\n')

    def _apt(self, *command: str, check: bool = True, cwd: Path | None = None) -> str:
        environment = {**os.environ, "APT_CONFIG": str(self._config), "LC_ALL": "C"}
        try:
            made = subprocess.run(
                command, env=environment, cwd=cwd, capture_output=True, text=True, timeout=600, check=False
            )
        except subprocess.TimeoutExpired:
            raise MissingError(f"{' '.join(command[:2])} took longer than 10 minutes") from None
        if check and made.returncode != 0:
            raise MissingError(f"{' '.join(command)}: {made.stderr.strip().splitlines()[-1:] or ['failed']}")
        return made.stdout


class _DebianOrder:
    """A version as a key for sorting, in dpkg's order."""

    def __init__(self, version: str) -> None:
        self.version = version

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _DebianOrder) and self.version == other.version

    __hash__ = None  # type: ignore[assignment]

    def __lt__(self, other: _DebianOrder) -> bool:
        return _older(self.version, other.version)


@cache
def _older(one: str, other: str) -> bool:
    return subprocess.run(["dpkg", "--compare-versions", one, "lt", other], check=False).returncode == 0

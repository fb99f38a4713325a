"""Which Xen and which Linux a case means, found in the suites that can be reached."""

from __future__ import annotations

import lzma
import re
from typing import Final, NamedTuple

from lab.packages import Cache, MissingError, Package

__all__ = ["LinuxBuild", "XenBuild", "busybox", "linux_build", "xen_image", "xen_releases"]

_XEN: Final = r"xen-hypervisor-(\d+\.\d+)-arm64"
_PARTS: Final = ("linux-binary", "linux-modules", "linux-base-")
_MODULES: Final = r".*/xen-(gntdev|privcmd|gntalloc|evtchn)\.ko(\.xz)?"
_WANTED: Final = rf"boot/(vmlinuz|config)-.*|usr/lib/modules/.*/(vmlinuz|config)|{_MODULES}"


class XenBuild(NamedTuple):
    """One packaged Xen: the arm64 image and its build configuration."""

    package: Package
    image: bytes
    config: str


class LinuxBuild(NamedTuple):
    """One packaged Linux: kernel image, configuration, and the Xen modules by name (uncompressed)."""

    package: Package
    image: bytes
    config: str
    modules: dict[str, bytes]


def xen_releases(cache: Cache) -> dict[str, Package]:
    """Return the newest package of each release."""
    cache.update()
    found: dict[str, Package] = {}
    for item in cache.versions(_XEN):
        match = re.fullmatch(_XEN, item.name)
        assert match is not None
        found[match[1]] = item
    return found


def xen_image(cache: Cache, wanted: str) -> XenBuild:
    """Return a packaged Xen by release (``4.17``, the newest package of it) or by exact Debian version."""
    releases = xen_releases(cache)
    package = releases.get(wanted) or next((item for item in cache.versions(_XEN) if item.version == wanted), None)
    if package is None:
        raise MissingError(f"no suite has Xen {wanted} for arm64; there are {', '.join(sorted(releases)) or 'none'}")
    files = cache.read(package, r"boot/xen-[\d.]+-arm64(\.config)?")
    config = next((data for name, data in files.items() if name.endswith(".config")), b"")
    image = next((data for name, data in files.items() if not name.endswith(".config")), None)
    if image is None:
        raise MissingError(f"{package.name} {package.version} holds no image under boot/")
    return XenBuild(package, image, config.decode("ascii", "replace"))


def linux_build(cache: Cache, wanted: str) -> LinuxBuild:
    """Return a packaged Linux by release (``6.12``, ``6.12-16k``): the newest package of it."""
    cache.update()
    release, _, flavour = wanted.partition("-")
    pattern = rf"linux-image-{re.escape(release)}(?!\d)[.\d]*[+\w]*(-\d+)?-arm64{'-' + flavour if flavour else ''}"
    found = cache.versions(pattern)
    if not found:
        raise MissingError(f"no suite has Linux {wanted} for arm64")
    files: dict[str, bytes] = {}
    # Later kernels are split: the image names packages for the binary and the modules with its own version.
    parts = [item for item in cache.depends(found[-1]) if item.name.startswith(_PARTS)]
    for part in (found[-1], *parts):
        files |= cache.read(part, _WANTED)
    image = next((data for name, data in files.items() if "vmlinuz" in name), None)
    if image is None:
        raise MissingError(f"{found[-1].name} {found[-1].version} holds no vmlinuz")
    modules = {
        name.rpartition("/")[2].partition(".")[0]: lzma.decompress(data) if name.endswith(".xz") else data
        for name, data in files.items()
        if ".ko" in name
    }
    config = next((data for name, data in files.items() if "config" in name), b"")
    return LinuxBuild(found[-1], image, config.decode("ascii", "replace"), modules)


def busybox(cache: Cache) -> bytes:
    """Return Debian's static busybox for arm64."""
    cache.update()
    found = cache.versions("busybox-static")
    if not found:
        raise MissingError("no suite has busybox-static for arm64")
    return next(iter(cache.read(found[-1], r"(usr/)?bin/busybox").values()))

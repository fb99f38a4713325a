"""An initramfs: busybox, the Xen modules of the kernel, our helper and our init, as a cpio archive in the newc form."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from lab.packages import MissingError

__all__ = ["COMPILER", "compiled_trigger", "initramfs"]

COMPILER: Final = "aarch64-linux-gnu-gcc"
_HERE: Final = Path(__file__).parent


def compiled_trigger(page_shift: int) -> bytes:
    """Return the helper as an arm64 program; raise `MissingError` when there is no cross compiler."""
    if shutil.which(COMPILER) is None:
        raise MissingError(f"{COMPILER} is not there, and cases with Linux need it: apt-get install gcc-aarch64-linux-gnu")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "trigger"
        flags = ["-Os", "-ffreestanding", "-nostdlib", "-static", "-fno-stack-protector", "-Wall", "-Werror"]
        sources = [f"-DPAGE_SHIFT={page_shift}", "-o", str(out), str(_HERE / "trigger.c")]
        subprocess.run([COMPILER, *flags, *sources], check=True, timeout=60)
        return out.read_bytes()


def initramfs(busybox: bytes, trigger: bytes, modules: dict[str, bytes]) -> bytes:
    """Return the archive, uncompressed."""
    entries = [
        _entry("bin", b"", 0o40755),
        _entry("bin/busybox", busybox, 0o100755),
        _entry("modules", b"", 0o40755),
        *(_entry(f"modules/{name}.ko", data, 0o100644) for name, data in sorted(modules.items())),
        _entry("trigger", trigger, 0o100755),
        _entry("init", (_HERE / "init.sh").read_bytes(), 0o100755),
        _entry("dev", b"", 0o40755),
        _entry("TRAILER!!!", b"", 0),
    ]
    return b"".join(entries)


def _entry(name: str, data: bytes, mode: int) -> bytes:
    """Return one newc entry (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    named = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(named), 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _padded(head + named) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)

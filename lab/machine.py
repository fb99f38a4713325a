"""One emulated machine: QEMU with everything laid into its memory, as a boot loader leaves it, and nothing edited by QEMU.

QEMU's own ``-kernel`` would rewrite the memory nodes and place the tree where it likes. Here a few instructions of ours
are the boot loader: they set the registers that the arm64 boot protocol asks for and jump to Xen.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["QEMU", "Machine", "MachineError", "Started", "boot", "boot_loader", "dump_tree"]

QEMU: Final = "qemu-system-aarch64"
MIB: Final = 1 << 20
_END_OF_XEN: Final = re.compile(
    rb"\(XEN\).*Freed \d+kB init memory|\(XEN\).*Panic on CPU|Reboot in five seconds|Manual reset required"
)
_LEAVING: Final = 20.0
_RING_LINES: Final = re.compile(rb"(?:\(XEN\) [\t\n\x20-\x7e]*\n)+")


class MachineError(Exception):
    """QEMU would not start the machine, or would not answer; the text is its own."""


class Machine(NamedTuple):
    """What is started. ``images`` are laid at physical addresses; ``xen`` is entered with the address of ``tree`` in x0."""

    board: str
    cpu: str
    cpus: int
    ram_mib: int
    xen: int
    tree: int
    images: tuple[tuple[int, bytes], ...]
    stub: int


class Started(NamedTuple):
    """What a boot left: the whole console, how it ended, and the memory that was asked for.

    ``ended`` is ``done``, ``quiet`` (no more output), ``timeout`` or ``died`` (QEMU left by itself).
    """

    console: str
    ended: str
    memory: dict[str, bytes]
    seconds: float


def dump_tree(board: str, cpu: str, cpus: int, ram_mib: int) -> bytes:
    """Return the tree that QEMU makes for a board of its own kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "board.dtb"
        size = ["-cpu", cpu, "-smp", str(cpus), "-m", str(ram_mib)]
        command = [QEMU, "-machine", f"{board},dumpdtb={path}", *size, "-display", "none"]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return path.read_bytes()


def boot(
    machine: Machine,
    *,
    done: re.Pattern[bytes] = _END_OF_XEN,
    timeout: float = 30.0,
    silence: float = 8.0,
    wanted: Callable[[str], dict[str, tuple[int, int]]] = lambda _: {},
) -> Started:
    """Start the machine, wait for ``done`` on its console, silence or the timeout, read the ``wanted`` memory, and stop it.

    ``wanted`` gets the console and names physical ranges (address, size) to read. A Xen that never printed anything is given
    its console ring instead, found in its own image.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = _command(machine, folder)
        begun = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: os.nice(3)
        )
        try:
            raw, ended = _listen(process, done, timeout, silence)
            memory: dict[str, bytes] = {}
            if ended == "died" and process.wait(_LEAVING) and not raw.strip():
                assert process.stderr is not None
                raise MachineError(f"QEMU: {process.stderr.read().decode(errors='replace').strip()[-400:]}")
            if ended != "died":
                with _monitor(folder / "qmp") as ask:
                    console = raw.decode("utf-8", "replace")
                    ranges = wanted(console)
                    if b"(XEN)" not in raw:
                        ranges = {**ranges, "ring": (machine.xen, 4 * MIB)}
                    for key, (address, size) in ranges.items():
                        memory[key] = _read_memory(ask, folder, address, size)
        finally:
            process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
    if "ring" in memory:
        raw += b"".join(_RING_LINES.findall(memory.pop("ring")))
    return Started(raw.decode("utf-8", "replace").replace("\r\n", "\n"), ended, memory, time.monotonic() - begun)


def _command(machine: Machine, folder: Path) -> list[str]:
    command = [
        QEMU, "-machine", machine.board, "-cpu", machine.cpu, "-smp", str(machine.cpus), "-m", str(machine.ram_mib),
        "-display", "none", "-nodefaults", "-no-reboot", "-serial", "stdio",
        "-qmp", f"unix:{folder / 'qmp'},server=on,wait=off",
    ]  # fmt: skip
    for number, (address, data) in enumerate(machine.images):
        path = folder / f"image{number}"
        path.write_bytes(data)
        command += ["-device", f"loader,file={path},addr={address:#x},force-raw=on"]
    path = folder / "stub"
    path.write_bytes(boot_loader(machine.xen, machine.tree))
    command += ["-device", f"loader,file={path},addr={machine.stub:#x},force-raw=on,cpu-num=0"]
    if not machine.board.startswith("virt"):
        del command[command.index("-cpu") : command.index("-cpu") + 2]
    return command


def boot_loader(entry: int, tree: int) -> bytes:
    """Return arm64 code: x0 is the tree, x1 to x3 are zero, jump to ``entry``."""
    code = (
        0x580000C0,  # ldr x0, tree (24 bytes on)
        0xD2800001,  # mov x1, #0
        0xD2800002,  # mov x2, #0
        0xD2800003,  # mov x3, #0
        0x58000084,  # ldr x4, entry (16 bytes on)
        0xD61F0080,  # br x4
    )
    return struct.pack("<6I2Q", *code, tree, entry)


def _listen(process: subprocess.Popen[bytes], done: re.Pattern[bytes], timeout: float, silence: float) -> tuple[bytes, str]:
    """Read the console until it is done. Times count while QEMU runs: on a busy machine it is not silent, it waits."""
    assert process.stdout is not None
    raw = bytearray()
    clock = _Clock(process.pid)
    heard = 0.0
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(0.2):
                if done.search(raw):
                    return bytes(raw), "done"
                now = clock.tick()
                if now >= timeout:
                    return bytes(raw), "timeout"
                if now - heard >= silence:
                    return bytes(raw), "quiet"
                continue
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                return bytes(raw), "died"
            raw += chunk
            heard = clock.tick()


class _Clock:
    """Seconds that a process ran or slept, without those in which it was ready and got no processor."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last = time.monotonic()
        self._spent = self._processor()
        self._seconds = 0.0

    def tick(self) -> float:
        """Return the seconds so far."""
        now, spent = time.monotonic(), self._processor()
        wall, used = now - self._last, spent - self._spent
        self._seconds += min(used, wall) if self._ready() else wall
        self._last, self._spent = now, spent
        return self._seconds

    def _processor(self) -> float:
        try:
            fields = Path(f"/proc/{self._pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _ready(self) -> bool:
        """Tell whether one of its threads runs or waits for a processor."""
        try:
            texts = [path.read_text() for path in Path(f"/proc/{self._pid}/task").glob("*/stat")]
        except OSError:
            return False
        return any(text.rpartition(")")[2].split()[0] == "R" for text in texts)


@contextmanager
def _monitor(path: Path) -> Iterator[Callable[[str, dict[str, object]], None]]:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(str(path))
        lines = connection.makefile("rwb", buffering=0)

        def ask(command: str, arguments: dict[str, object]) -> None:
            lines.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
            while True:
                answer = json.loads(lines.readline())
                if "error" in answer:
                    raise MachineError(f"QEMU: {answer['error']}")
                if "return" in answer:
                    return

        lines.readline()
        ask("qmp_capabilities", {})
        yield ask
        lines.close()


def _read_memory(ask: Callable[[str, dict[str, object]], None], folder: Path, address: int, size: int) -> bytes:
    path = folder / "memory"
    ask("pmemsave", {"val": address, "size": size, "filename": str(path)})
    return path.read_bytes()

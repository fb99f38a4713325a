"""``python -m tests.fuzz.given [--seconds N] [--seed S] [NAME...]``: every kind of file that a call names, changed at random.

Each mutant goes through the command line in this process. A defect is an internal error or a traceback, another status than 0,
1 or 2, status 2 without a word, a line or an escape of the file's own making, JSON or XML that is none, or more CPU seconds
than `SLOW`. It is written to ``fuzz/``.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import random
import re
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple
from xml.etree import ElementTree

from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import new_node, strings, to_blob
from tests.conftest import FIXTURES
from tests.fuzz.flat import damaged, pieces
from tests.fuzz.injected import run
from tests.fuzz.mutants import mutant_of

__all__ = ["TARGETS", "Target", "defect", "mutated", "tried"]

SLOW: Final = 10.0
_DTB: Final = FIXTURES / "dtb"
_LIVE: Final = FIXTURES / "live" / "dom0-420-612"
_GUEST: Final = (_DTB / "boots" / "07a-domU-256M.dtb").read_bytes()
_HOST: Final = (_DTB / "hosts" / "01-dom0-x420-l612.dtb").read_bytes()
_OVERLAY: Final = (FIXTURES.parent / "docs" / "formats" / "three-faults.dtbo").read_bytes()
_KCONFIG: Final = b"""# Linux/arm64 6.12.117 Kernel Configuration
CONFIG_ARM64=y
CONFIG_ARM64_4K_PAGES=y
# CONFIG_ARM64_16K_PAGES is not set
CONFIG_ARM64_VA_BITS_52=y
CONFIG_ARM64_VA_BITS=52
CONFIG_ARM64_PA_BITS=52
CONFIG_XEN=y
CONFIG_RANDOMIZE_BASE=y
CONFIG_MEMORY_HOTPLUG=y
CONFIG_ZONE_DEVICE=y
CONFIG_XEN_UNPOPULATED_ALLOC=y
CONFIG_INITRAMFS_SOURCE=""
"""
_XEN_CONFIG: Final = b"""# Xen/arm 4.20.0 Configuration
CONFIG_ARM_64=y
CONFIG_NR_CPUS=128
CONFIG_STATIC_MEMORY=y
# CONFIG_LLC_COLORING is not set
CONFIG_CMDLINE="dom0_mem=1G"
CONFIG_PHYS_ADDR_T_32=n
"""
_XL: Final = b"""name = "domd" ; memory = 2048
vcpus=4
type = 'pvh'
iomem = [ "e6020,1", "47fc7,2@37fc7", # a comment inside
          '0xfe000,10', ]
irqs = [ 112, 144 ]
dtdev = [ "/soc/eth@e6800000" ]
vuart = "sbsa_uart"
disk = [ [ 'a', 'b' ], 'phy:/dev/x,xvda,w' ]
"""
_XEN_CFG: Final = b"""[global]
default=one

[one]
options=dom0_mem=1G console=dtuart
kernel=Image console=hvc0
ramdisk=initrd
dtb=board.dtb
chain=more.cfg
"""
_SETTINGS: Final = b"""memory = ["0x40000000+2G"]
xen = "4.20"
linux = "6.12"
need = "512M"
fail-on = "error"
request = [1, 40000]

[[suppress]]
rule = "X01"
node = "/soc/serial@*"
reason = "the console is given to Xen alone"
owner = "kim"
expires = 2027-01-31
"""
_SOURCE: Final = b"""/dts-v1/;
#include "more.dtsi"
/ { #address-cells = <2>; #size-cells = <2>; model = "a\\tboard";
	memory@40000000 { device_type = "memory"; reg = <0 0x40000000 0 0x40000000>; };
	soc: soc { compatible = "simple-bus"; ranges; #address-cells = <2>; #size-cells = <2>;
		// dtanalyze: suppress X01: known
		uart: serial@9000000 { compatible = "arm,pl011"; reg = <0 0x9000000 0 0x1000>; interrupts = <0 1 4>; }; };
	chosen { stdout-path = &uart; bootargs = "x"; };
};
&soc { status = "okay"; };
"""


class Target(NamedTuple):
    """A kind of file: the call that names it as ``FILE``, good ones to begin with, how one is changed."""

    call: str
    seeds: Callable[[], tuple[bytes, ...]]
    changed: Callable[[bytes, random.Random], bytes]
    name: str = "input"


def _flat(data: bytes, chance: random.Random) -> bytes:
    """Change a tree, mostly in what it says, sometimes in its bytes."""
    if chance.random() < 0.2:
        return damaged(pieces(data), chance)
    return mutant_of(parse(data), chance)


def _image() -> tuple[bytes, ...]:
    root = new_node("", None, {"timestamp": b"\0\0\0\1"})
    images, configurations = new_node("images", root), new_node("configurations", root, {"default": strings("conf")})
    more = {"type": strings("flat_dt"), "arch": strings("arm64"), "compression": strings("none")}
    new_node("fdt-1", images, {**more, "data": _GUEST})
    new_node("fdt-2", images, {**more, "data-position": b"\0\0\x10\0", "data-size": b"\0\0\4\0"})
    new_node("fdto", images, {**more, "data": _OVERLAY})
    new_node("conf", configurations, {"fdt": strings("fdt-1", "fdto")})
    new_node("conf-2", configurations, {"fdt": strings("fdt-2")})
    return (to_blob(root), _GUEST + _GUEST)


def _archive() -> tuple[bytes, ...]:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, data in (("host.dtb", _HOST), ("logs/xl-dmesg.txt", _text("xl-dmesg.txt")), ("iomem", _text("root/proc/iomem"))):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return (plain.getvalue(),)


def _text(name: str) -> bytes:
    return (_LIVE / name).read_bytes()


def _beside() -> dict[str, bytes]:
    """Return what the calls name beside the file that changes."""
    return {
        "guest.dtb": _GUEST,
        "host.dtb": _HOST,
        "domu.dtb": (_DTB / "hosts" / "07a-domU-256M.dtb").read_bytes(),
        "dom0.dtb": _text("root/sys/firmware/fdt"),
        "log.txt": _text("xl-dmesg.txt"),
        "more.dtsi": b"",
    }


def _baseline() -> tuple[bytes, ...]:
    with tempfile.TemporaryDirectory() as folder:
        tree, known = Path(folder, "tree.dtb"), Path(folder, "known.json")
        tree.write_bytes((_DTB / "boots" / "16b-zcu102-61dtb-x420.dtb").read_bytes())
        run(["check", str(tree), "--write-baseline", str(known), "-o", os.devnull])
        return (known.read_bytes(),)


_TOKENS: Final = (
    b"0", b"-1", b"0x", b"1e9999", b"nan", b"9" * 400, b"9" * 5000, b"0xffffffffffffffff", b"0x10000000000000000", b"\0", b"\r", b"\n",
    b"\x1b[31m", b"::error::x", b"\n::error::x\n", b"\xff\xfe", b"\xe2\x80\xae", b"\xed\xa0\x80", b'"', b"'", b"[", b"]", b"{", b"}", b"=", b"#",
    b",", b"../../etc/passwd", b"%s%n", b"true", b"null", b"2027-01-31T00:00:00Z", b"[" * 3000, b"a" * 70000, b"y", b"m", b"-", b" ", b"\\", b"@",
    b"&lt;", b"<script>", b"`", b"|", b"*", b"**", b"2**99", b"\xc2\xb2",
)  # fmt: skip


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return a text with one to four things changed: bytes, words, numbers, lines."""
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        data = _changed(data, chance)
    return data[: 1 << 20]


def _changed(data: bytes, chance: random.Random) -> bytes:
    at, kind = chance.randint(0, len(data)), chance.randrange(9)
    if kind == 0:
        return data[:at] + bytes((chance.randrange(256),)) + data[at + 1 :]
    if kind == 1:
        return data[:at] + chance.choice(_TOKENS) + data[at:]
    if kind == 2:
        return data[: chance.randint(0, at)] + data[at:]
    if kind == 3:
        return data[:at]
    if kind in (4, 5):
        words = list(re.finditer(rb"0x[0-9a-f]+|\d+|\w+|\"[^\"\n]*\"", data))
        if not words:
            return data
        word = chance.choice(words)
        return data[: word.start()] + chance.choice((*_TOKENS, chance.choice(words)[0])) + data[word.end() :]
    lines = data.splitlines(keepends=True)
    if not lines:
        return data
    place = chance.randrange(len(lines))
    if kind == 6:
        lines.insert(chance.randint(0, len(lines)), lines[place])
    elif kind == 7:
        lines.insert(chance.randint(0, len(lines) - 1), lines.pop(place))
    else:
        lines[place:place] = [lines[place]] * chance.choice((2, 300))
    return b"".join(lines)


TARGETS: Final = {
    "overlay": Target("check guest.dtb --overlay FILE", lambda: (_OVERLAY,), _flat, "in.dtbo"),
    "image": Target("check FILE", _image, _flat, "in.itb"),
    "tree": Target("check FILE", lambda: (_GUEST, _HOST), _flat, "in.dtb"),
    "partial": Target("check domu.dtb --partial-dtb domU1=FILE", lambda: (_GUEST,), _flat),
    "xen-log": Target("check host.dtb --xen-log FILE", lambda: (_text("xl-dmesg.txt"),), mutated),
    "verify-log": Target("verify host.dtb FILE", lambda: (_text("xl-dmesg.txt"), _text("root/dev/kmsg")), mutated),
    "verify-iomem": Target("verify host.dtb log.txt FILE", lambda: (_text("root/proc/iomem"), _KCONFIG, _GUEST), mutated),
    "verify-archive": Target("verify FILE", _archive, mutated, "in.tar"),
    "iomem": Target("check dom0.dtb --proc-iomem FILE", lambda: (_text("root/proc/iomem"),), mutated),
    "kconfig": Target("check guest.dtb --kconfig FILE", lambda: (_KCONFIG,), mutated),
    "xen-config": Target("check host.dtb --xen-config FILE", lambda: (_XEN_CONFIG,), mutated),
    "xl-config": Target("check host.dtb --xl-config FILE", lambda: (_XL,), mutated),
    "xen-cfg": Target("check host.dtb --xen-cfg FILE", lambda: (_XEN_CFG,), mutated),
    "settings": Target("check guest.dtb --config FILE", lambda: (_SETTINGS,), mutated, "in.toml"),
    "suppressions": Target("check guest.dtb --suppressions FILE", lambda: (_SETTINGS[_SETTINGS.index(b"[[") :],), mutated, "in.toml"),
    "baseline": Target("check guest.dtb --baseline FILE", _baseline, mutated, "in.json"),
    "list": Target("check @FILE", lambda: (b"guest.dtb\n# one\ng*.dtb\n",), mutated, "in.txt"),
    "source": Target("check FILE", lambda: (_SOURCE,), mutated, "in.dts"),
    "source-fix": Target("fix FILE --diff", lambda: (_SOURCE,), mutated, "in.dts"),
    "diff": Target("diff guest.dtb FILE", lambda: (_GUEST,), _flat, "in.dtb"),
    "map": Target("map FILE --html -", lambda: (_GUEST,), _flat, "in.dtb"),
    "collect": Target("collect out.tar.gz FILE", lambda: (_text("xl-dmesg.txt"), _text("root/dev/kmsg"), *_archive()), mutated),
}
"""What a call may name, by what it is."""
_FORMATS: Final = ("text", "concise", "json", "sarif", "junit", "github", "gitlab", "markdown")


def defect(argv: list[str], found: tuple[int, str, str], seconds: float) -> str | None:
    """Return what is wrong with an answer, None when nothing is."""
    status, out, err = found
    if status not in (0, 1, 2) or (status == 2 and not err):
        return f"status {status}, {err[:80]!r}"
    if "internal error" in err + out or "Traceback" in err + out:
        return re.sub(r"^.*internal error: ", "internal error: ", err.strip().splitlines()[-1])
    if seconds > SLOW:
        return f"slow: {seconds:.1f} s of CPU time"
    if any(not line.isprintable() for line in err.splitlines()) or re.search(r"^(::|##\[)", err, re.M):
        return f"standard error: {err[:200]!r}"
    if re.search(r"\x1b|\0|^\s*::error::x", out, re.M):
        return "a line or an escape of the file's own making"
    return _unreadable(argv[argv.index("--format") + 1] if "--format" in argv else "", out)


def _unreadable(form: str, out: str) -> str | None:
    try:
        if form in ("json", "sarif", "gitlab") and out:
            json.loads(out)
        elif form == "junit" and out:
            ElementTree.fromstring(out)
    except (ValueError, ElementTree.ParseError) as error:
        return f"{form}: {error}"
    return None


def tried(name: str, seed: int, count: int) -> Iterator[tuple[bytes, list[str], str | None, int]]:
    """Try mutants of one kind, the same for the same seed; yield each with its call, its defect and its status."""
    target, chance = TARGETS[name], random.Random(f"{seed} {name}")
    seeds, before = target.seeds(), os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for other, data in _beside().items():
                Path(other).write_bytes(data)
            for _ in range(count):
                data = target.changed(chance.choice(seeds), chance)
                Path(target.name).write_bytes(data)
                Path("out.tar.gz").unlink(missing_ok=True)
                argv = target.call.replace("FILE", target.name).split()
                argv += ["--format", chance.choice(_FORMATS)] if argv[0] == "check" else []
                began = time.process_time()
                found = run(argv)
                yield data, argv, defect(argv, found, time.process_time() - began), found[0]
        finally:
            os.chdir(before)


def main(argv: list[str]) -> int:
    """Go round the kinds until the time is up; print how many of each were tried, with which statuses, and what was found."""
    asked = argparse.ArgumentParser(prog="tests.fuzz.given", description="Files of every kind, changed at random.")
    asked.add_argument("--seconds", type=float, default=60.0, help="CPU seconds in all (60)")
    asked.add_argument("--seed", type=int, default=1, help="another seed draws other mutants (1)")
    asked.add_argument("names", nargs="*", choices=[[], *TARGETS], help="kinds; all without any")
    given = asked.parse_args(argv)
    began, seed, seen, defects = time.process_time(), given.seed, Counter[tuple[str, int]](), dict[str, int]()
    while time.process_time() - began < given.seconds:
        for name in given.names or TARGETS:
            for data, call, wrong, status in tried(name, seed, 25):
                seen[name, status] += 1
                if wrong is None:
                    continue
                what = f"{name}: {re.sub(r'[0-9]+', '#', wrong)}"
                defects[what] = defects.get(what, 0) + 1
                if defects[what] == 1:
                    Path("fuzz").mkdir(exist_ok=True)
                    place = Path("fuzz", f"{name}-{len(defects)}")
                    place.write_bytes(data)
                    print(f"{name}: {' '.join(call)}: {wrong}: {place}", flush=True)
        seed += 1
    for name in given.names or TARGETS:
        counts = ", ".join(f"status {status}: {seen[name, status]}" for status in (0, 1, 2) if seen[name, status])
        print(f"{name:15} {counts}")
    print(f"{seen.total()} mutants, {time.process_time() - began:.0f} s, {len(defects)} kinds of defects, {sum(defects.values())} cases")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

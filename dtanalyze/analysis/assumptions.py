"""What an answer rests on, sentence by sentence: what is taken for so, where that comes from, and which option settles it.

The mirrors of Xen and Linux say in one sentence what they took for granted, because only they know; reports want its parts.
A sentence is ``TOPIC: VALUE, WHY (--OPTION settles it)``, and is taken apart here, once, for every format.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from dtanalyze.analysis.questions import CheckOptions
from dtanalyze.board.model import Board
from dtanalyze.facts import Assumption
from dtanalyze.linux.boot import BootAnswer
from dtanalyze.linux.memblock import Memblock, bootargs
from dtanalyze.linux.memory_hotplug import USUAL_PA_BITS, linear_map_is_randomized
from dtanalyze.linux.profile import Arch, LinuxProfile

__all__ = ["assumptions", "guest_sentences", "kaslr_of"]

_OPTION: Final = re.compile(r"--[a-z][a-z0-9-]*")
_TOPIC: Final = re.compile(r"([A-Za-z0-9'][^:.,(]{1,40}): (.+)")
_ORIGINS: Final = (
    ("option", ("as given", "from --", "with --memory", "--proc-iomem")),
    ("log", ("Xen's log", "boot log", "as recorded", "recorded /proc/iomem given")),
    ("guess", ("a guess", "a model", "not known", "assumed", "taken as", "not seen", "Xen is taken", "not modelled")),
    ("default", ("Xen's default", "default")),
    ("tree", ("tree", "/chosen", "CPUs have", "command line", "from /")),
)
"""Where a value comes from, by the words that say so; the first that occurs decides."""
_SETTLED_BY: Final = {"Linux": "--linux", "Xen": "--xen", "IOMMU": "--iommu", "KASLR": "--kaslr", "RAM": "--memory"}
"""What settles a topic whose sentence names no option."""


def assumptions(sentences: Iterable[str], matters: Mapping[str, bool] = MappingProxyType({})) -> tuple[Assumption, ...]:
    """Return the parts of each sentence; ``matters`` says of a topic whether another value would change the verdict."""
    return tuple(_assumption(item, matters) for item in sentences)


def _assumption(sentence: str, matters: Mapping[str, bool]) -> Assumption:
    found = _TOPIC.fullmatch(sentence)
    topic, value = (found[1], found[2]) if found else (sentence.split(" ", 1)[0], sentence)
    named = _OPTION.search(sentence)
    option = named[0] if named else _SETTLED_BY.get(topic)
    return Assumption(topic, value, _origin(sentence, topic), option, sentence, matters.get(topic))


def _origin(sentence: str, topic: str) -> str:
    if topic in ("Linux", "Xen"):
        return "option"
    return next((origin for origin, words in _ORIGINS if any(word in sentence for word in words)), "tree")


def kaslr_of(board: Board, options: CheckOptions) -> tuple[bool, str]:
    """Return whether KASLR runs, and the sentence that says why."""
    if options.kaslr is not None:
        return options.kaslr, f"KASLR: {'on' if options.kaslr else 'off'}, as given"
    if "nokaslr" in bootargs(board).split():
        return False, "KASLR: off, nokaslr is on the kernel's command line"
    seed = board.chosen.prop("kaslr-seed") if board.chosen is not None else None
    if seed is not None and len(seed.value) != 8:
        return False, "KASLR: off, the kaslr-seed in /chosen is not one of 8 bytes"
    if seed is not None:
        return True, "KASLR: on, /chosen has a kaslr-seed"
    return False, "KASLR: off, /chosen has no kaslr-seed"


def guest_sentences(
    board: Board, answer: BootAnswer, memory: Memblock, froms: tuple[str, ...], options: CheckOptions, width: int | None
) -> tuple[str, ...]:
    """Return what an answer on a guest's tree rests on.

    ``froms`` are the sentences for RAM, where it is to be told here, and for KASLR, ``width`` is the
    CPUs' in bits.
    """
    profile, (*ram_from, kaslr_from) = options.linux, froms
    out = [_kernel(profile), *profile.remarks, *ram_from]
    if profile.arch is Arch.ARM64:
        if answer.kaslr and not profile.linear_map_randomized:
            kaslr_from += "; this kernel does not move the linear map"
        elif answer.kaslr and answer.limits is not None:
            kaslr_from += _moved(profile, width, randomized=answer.limits.randomized)
        out.append(kaslr_from)
    if answer.limits is not None:
        out.append(f"usable addresses: {answer.limits.low:#x}-{answer.limits.high:#x}")
    if options.recorded is not None:
        out.append("claims in iomem_resource: as recorded in the /proc/iomem given, without its Xen scratch")
    elif answer.iomem.possible:
        count = len(answer.iomem.possible)
        out.append(
            f"drivers: assumed not bound before the first grant is mapped, so that Linux takes "
            f"{f'their {count} ranges' if count > 1 else 'their range'} for free (--proc-iomem settles it)"
        )
    out.extend(memory.notes)
    out.extend(answer.iomem.notes)
    return (*out, *_event_channel(board, answer))


def _event_channel(board: Board, answer: BootAnswer) -> tuple[str, ...]:
    if not answer.detection.found or board.event_channel is not None:
        return ()
    return (
        "event channels: /hypervisor names no interrupt that resolves, so the kernel sets up no grant tables "
        "(Xen event channel interrupt not found) and nothing will ask for scratch pages",
    )


def _kernel(profile: LinuxProfile) -> str:
    """Say which kernel is meant, and where nothing says how it was configured, that this was taken for granted."""
    words = [f"Linux {profile.name} on {profile.arch.value}, {profile.page_size >> 10}K pages"]
    if profile.without_xen:
        return f"{words[0].partition(',')[0]}, without Xen support"
    if profile.arch is Arch.ARM64:
        words.append(f"{profile.va_bits}-bit addresses")
        if profile.kasan_scale is not None:
            words.append("KASAN's shadow")
    words.append(f"CONFIG_XEN_UNPOPULATED_ALLOC {'on' if profile.option_on else 'off'}")
    if profile.option_on and not profile.settled and profile.arch is Arch.ARM64:
        words[-1] += " (as distributions build it; upstream's arm64 defconfig has it off; --kconfig settles it)"
    return ", ".join(words)


def _moved(profile: LinuxProfile, width: int | None, *, randomized: bool) -> str:
    """Say what KASLR does to the linear map, and on what CPU width that hangs where the tree does not tell it."""
    what = "moves the linear map, so that space below RAM is usable" if randomized else "cannot move the linear map"
    if width is not None:
        return f"; it {what}" + ("" if randomized else f": CPUs of {width} bits leave no room in it")
    other = {bits: linear_map_is_randomized(profile, kaslr=True, pa_bits=bits) for bits in (40, 42, 44, 48)}
    if len(set(other.values())) == 1:
        return f"; it {what}, whatever the CPU"
    unlike = " or ".join(str(bits) for bits, moves in other.items() if moves is not randomized)
    return (
        f"; it {what}: the CPUs' width is not known, taken as {USUAL_PA_BITS} bits; with {unlike} bits it would "
        f"{'not' if randomized else 'do so'}"
    )

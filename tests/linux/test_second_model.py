"""Random guests: the program against a second, deliberately simple model (`tests.linux.second_model`).

``DTANALYZE_GUESTS=5000 pytest tests/linux/test_second_model.py`` draws more of them.
"""

from __future__ import annotations

import os

from hypothesis import event, given, settings
from hypothesis import strategies as st

from dtanalyze.analysis import CheckOptions, check
from dtanalyze.facts import CheckResult
from dtanalyze.linux.profile import PRESETS
from tests.linux.second_model import PAGES, SHIFT, Answer, Device, G, Guest, Kernel, Reserved, Span, write
from tests.trees import dtb

MANY = int(os.environ.get("DTANALYZE_GUESTS", "120"))

# Around RAM from 1 to 4 GiB; above it; where a linear map of 39 bits ends.
ZONES = ((0, 2048), (2048, 4096), ((1 << 38) // G + 256, (1 << 38) // G + 1600))


@st.composite
def spans(draw: st.DrawFn, most: int, zones: tuple[Span, ...] = ZONES) -> Span:
    low, high = draw(st.sampled_from(zones))
    start = draw(st.integers(low, high - 1))
    step = draw(st.sampled_from((1, 1, 8, 64)))
    return max(start // step * step, SHIFT), draw(st.integers(1, most))


@st.composite
def devices(draw: st.DrawFn) -> Device:
    kind = draw(st.sampled_from(("plain", "amba", "amba", "generic", "generic", "generic", "vendor")))
    windows = tuple(draw(st.lists(spans(48), max_size=3))) if kind in ("generic", "vendor") else ()
    return Device(
        kind,
        tuple(draw(st.lists(spans(16), min_size=1, max_size=2))),
        windows,
        draw(st.sampled_from(("none", "none", "simple", "vendor", "off"))),
        draw(st.integers(0, 5)) > 0,
        draw(st.sampled_from(("pcie", "pcie", "pci"))),
        draw(st.integers(0, 3)) > 0,
    )


@st.composite
def guests(draw: st.DrawFn) -> Guest:
    ram = draw(st.sampled_from((512, 600, 1024)))
    banks = [(ram, draw(st.integers(64, 512)))] + draw(st.lists(spans(256, ZONES[:2]), max_size=2))
    regions: list[Span] = []
    at = draw(st.integers(0, 900))
    for _ in range(draw(st.integers(0, 4))):
        size = draw(st.integers(1, 400))
        regions.append((at, size))
        at += size + draw(st.sampled_from((0, 0, 1, 30, 300, 1200)))
    if draw(st.integers(0, 9)) == 0:
        regions.append(draw(spans(200)))
    if draw(st.integers(0, 3)) == 0:
        regions.append((max(at, ZONES[2][0]) + draw(st.integers(0, 300)), draw(st.integers(64, 500))))
    gic = [Device("gicv3", (draw(spans(8)), draw(spans(8))))] if draw(st.booleans()) else []
    reserved = st.builds(
        Reserved, st.lists(spans(32), min_size=1, max_size=2).map(tuple), st.booleans(), st.sampled_from((True, True, False))
    )
    return Guest(
        tuple(banks),
        tuple(draw(st.lists(reserved, max_size=3))),
        tuple(draw(st.lists(spans(16), max_size=2))),
        draw(st.integers(0, 5)) > 0,
        tuple(gic + draw(st.lists(devices(), max_size=4))),
        draw(st.sampled_from(((448, 8), (2100, 8)))),
        tuple(regions),
        tuple(draw(st.lists(st.sampled_from((1, 3, 63, 64, 65, 128, 200)), max_size=5))),
        draw(st.sampled_from(("v3", "5.17", "6.1", "6.12", "6.16", "7.3"))),
        draw(st.sampled_from((39, 48))),
        draw(st.integers(0, 3)) == 0,
    )


def program(guest: Guest) -> CheckResult:
    profile = PRESETS[guest.linux]._replace(va_bits=guest.va_bits)
    blob = dtb(write(guest), [(start * G, size * G) for start, size in guest.memreserve])
    asked = CheckOptions(linux=profile, tree="domu", requests=tuple(item * PAGES for item in guest.requests))
    (result,) = check(blob, "guest.dtb", asked)
    return result


def said(result: CheckResult, expected: Answer) -> Answer:
    """What the program says, as the model says it; names of claims are the model's where the ranges agree."""
    answer = result.answer
    assert answer is not None
    ram = {(item.start, item.stop) for item in result.ram}
    assert ram or result.verdict.value
    scratch = {(item.taken.start, item.taken.stop) for item in answer.requests if item.taken is not None}
    root = [
        item
        for item in answer.iomem.root.children
        if (item.start, item.end + 1) not in scratch or item.name != "Xen scratch"
    ]
    names = {(start, stop): name for name, start, stop in expected.claims}
    claims = tuple(
        sorted(
            (names.get((item.start // G, (item.end + 1) // G), item.name), item.start // G, (item.end + 1) // G)
            for item in root
        )
    )
    return Answer(
        result.verdict.value,
        result.sections,
        answer.capacity.largest_request // (64 * PAGES) if answer.capacity else 0,
        tuple((item.taken.start // G, item.taken.stop // G) if item.taken else None for item in answer.requests),
        tuple(item.outcome.value for item in answer.requests),
        claims,
    )


@settings(max_examples=MANY, deadline=None)
@given(guests())
def test_a_random_guest(guest: Guest) -> None:
    expected = Kernel(guest).answer()
    event(expected.verdict)
    for outcome in set(expected.outcomes):
        event(f"request {outcome}")
    assert said(program(guest), expected) == expected

"""Where balloon memory hotplug goes: the gaps of iomem_resource, drawn on an address line, in sections of 128 MiB.

::

    0x0        0x44000000     0x80000000   0xc0000000   0xc4000000   0xc8000000
     | device A |   gap        |    RAM     |  gap, 64M  |  device B  |  gap to the end
                 0x48000000 is the first section that fits: seven of them before RAM; then none; then from 0xc8000000 on
"""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.linux.balloon import additional_memory_resource, hotplug_reach
from dtanalyze.linux.profile import PRESETS
from dtanalyze.linux.resource import IORESOURCE_END, Resource

L612 = PRESETS["6.12"]
S = L612.section_size


def iomem(*children: tuple[int, int]) -> Resource:
    root = Resource("PCI mem", 0, IORESOURCE_END)
    for start, stop in children:
        assert root.request_resource(Resource("used", start, stop - 1)) is None
    return root


LINE = ((0x0, 0x44000000), (0x80000000, 0xC0000000), (0xC4000000, 0xC8000000))


@pytest.mark.parametrize(
    ("start", "stop", "before", "taken"),
    [
        pytest.param(0x48000000, 0x50000000, 0, 0x48000000, id="the first section"),
        pytest.param(0x60000000, 0x68000000, 3, 0x60000000, id="the fourth"),
        pytest.param(0x61000000, 0x62000000, 3, 0x60000000, id="inside the fourth"),
        pytest.param(0x40000000, 0x4C000000, 0, 0x48000000, id="begins below the gap"),
        pytest.param(0x78000000, 0x88000000, 6, 0x78000000, id="ends in RAM"),
        pytest.param(0xC8000000, 0xD0000000, 7, 0xC8000000, id="behind: seven come before"),
        pytest.param(0xD8000000, 0xE0000000, 9, 0xD8000000, id="further behind"),
    ],
)
def test_sections_lower_down_come_first(start: int, stop: int, before: int, taken: int) -> None:
    found = hotplug_reach(iomem(*LINE), AddressRange.spanning(start, stop), L612)
    assert found is not None
    assert (found.sections_before, found.range) == (before, AddressRange(taken, S))


@pytest.mark.parametrize(
    ("start", "stop"),
    [
        pytest.param(0x40000000, 0x48000000, id="ends where the first section starts"),
        pytest.param(0x80000000, 0x88000000, id="RAM"),
        pytest.param(0xC0000000, 0xC4000000, id="a gap without a section"),
        pytest.param(0x44000000, 0x48000000, id="before the alignment"),
    ],
)
def test_what_it_never_takes(start: int, stop: int) -> None:
    assert hotplug_reach(iomem(*LINE), AddressRange.spanning(start, stop), L612) is None


def test_without_room_it_takes_nothing() -> None:
    assert additional_memory_resource(iomem((0, 1 << 64)), L612) is None
    assert hotplug_reach(iomem((0, 1 << 64)), AddressRange(0x40000000, S), L612) is None


def test_the_first_section_may_lie_at_address_0() -> None:
    assert additional_memory_resource(iomem((S, 2 * S)), L612) == AddressRange(0, S)
    assert additional_memory_resource(iomem(*LINE), L612) == AddressRange(0x48000000, S)

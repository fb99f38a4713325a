"""The three searches for extended regions, one hand-drawn case for each behaviour and each defect that shipped."""

from __future__ import annotations

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import GIB, MIB
from dtanalyze.xen.bootfdt import boot_fdt_info
from dtanalyze.xen.domain_build import GUEST_GNTTAB, find_domU_holes, find_memory_holes, find_unallocated_memory
from dtanalyze.xen.profile import preset
from dtanalyze.xen.regions import Regions
from tests.xen.build import host


def pairs(regions: Regions) -> list[tuple[int, int]]:
    return [(item.start, item.stop) for item in regions.ranges]


def holes(body: str, release: str = "4.22", bits: int = 33) -> Regions:
    return find_memory_holes(host(body), preset(release), bits)


# RAM is 0x40000000-0x80000000 and the space 33 bits wide unless a case says otherwise.
BEFORE, BEHIND = (0, 0x40000000), (0x80000000, 0x200000000)


@pytest.mark.parametrize(("release", "cut"), [("4.17", 0), ("4.18", 2 * MIB), ("4.20", 2 * MIB), ("4.21", 0)])
def test_the_last_two_megabytes_are_lost_from_4_18_to_4_20(release: str, cut: int) -> None:
    assert pairs(holes("", release)) == [(0, 0x40000000 - cut), (0x80000000, 0x200000000 - cut)]


def test_disabled_devices_are_excluded_too_and_pages_rounded_outward() -> None:
    body = 'dev@100000123 { status = "disabled"; reg = <1 0x00000123 0 0x10>; };'
    assert pairs(holes(body)) == [BEFORE, (0x80000000, 0x100000000), (0x100200000, 0x200000000)]


def test_what_is_below_64_mib_is_dropped() -> None:
    body = "a@103c00000 { reg = <1 0x03c00000 0 0x1000>; }; b@107e00000 { reg = <1 0x07e00000 0 0x1000>; };"
    # between a and b: 0x103e00000-0x107e00000, exactly 64 MiB, kept
    assert pairs(holes(body)) == [BEFORE, (0x80000000, 0x103C00000), (0x103E00000, 0x107E00000), (0x108000000, 0x200000000)]
    assert (0x103E00000, 0x107C00000) not in pairs(holes(body, "4.20")), "62 MiB after the cut"


def test_one_untranslatable_address_and_there_is_none() -> None:
    body = "bus { #address-cells = <1>; #size-cells = <1>; ranges = <0 1 0 0x1000>; dev@2000 { reg = <0x2000 0x10>; }; };"
    found = holes(body)
    assert (found.ranges, found.error, found.message) == ((), "EINVAL", "Unable to retrieve address 0 for /bus/dev@2000")


def test_pci_windows_need_device_type() -> None:
    window = 'compatible = "pci-host-ecam-generic"; #address-cells = <3>; #size-cells = <2>;'
    ranges = "ranges = <0x02000000 0 0 1 0 0 0x40000000>;"
    with_type = f'pcie@90000000 {{ device_type = "pci"; {window} {ranges} reg = <0 0x90000000 0 0x1000000>; }};'
    assert pairs(holes(with_type)) == [
        BEFORE,
        (0x80000000, 0x90000000),
        (0x91000000, 0x100000000),
        (0x140000000, 0x200000000),
    ]
    without = f"pcie@90000000 {{ {window} {ranges} reg = <0 0x90000000 0 0x1000000>; }};"
    assert pairs(holes(without)) == [BEFORE, (0x80000000, 0x90000000), (0x91000000, 0x200000000)]


def test_an_unusable_pci_window_is_an_error_from_4_18() -> None:
    body = """pcie@90000000 { device_type = "pci"; #address-cells = <3>; #size-cells = <2>;
        ranges = <0x02000000 0 0 0xffffffff 0xf0000000 0 0x20000000>; };"""
    found = holes(body)
    assert found.error == "ERANGE" and found.message is not None and "/pcie@90000000" in found.message


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("<1 0x00000000 0 0>", [BEFORE, (0x80000000, 0x100000000), (0x100000000, 0x200000000)], id="splits"),
        pytest.param("<0 0x50000000 0 0>", [BEFORE, BEHIND], id="in no hole"),
        pytest.param("<1 0x00000800 0 0>", [BEFORE, (0x80000000, 0x100000000), (0x100200000, 0x200000000)], id="unaligned"),
    ],
)
def test_registers_of_size_zero(address: str, expected: list[tuple[int, int]]) -> None:
    assert pairs(holes(f"stub {{ reg = {address}; }};")) == expected


def test_size_zero_at_the_start_of_a_hole_crashes_xen() -> None:
    found = holes("stub { reg = <0 0x80000000 0 0>; };")
    assert found.error == "crash" and found.ranges == ()


def test_size_zero_at_zero_wipes_everything_in_pages_and_readds_everything_in_bytes() -> None:
    assert holes("stub { reg = <0 0 0 0>; };").error == "ENOENT"
    assert pairs(holes("stub { reg = <0 0 0 0>; };", "4.17")) == [(0, 0x200000000)], "RAM included"


@pytest.mark.parametrize(
    ("release", "third"),
    [("4.18", False), ("4.19.2", False), ("4.19.3", True), ("4.20.0", False), ("4.20.1", True), ("4.22", True)],
)
def test_the_gap_before_a_removal_comes_back_before_the_fix(release: str, third: bool) -> None:
    """A window that starts inside RAM's gap and ends in the hole behind it gives the gap back."""
    body = "dev@70000000 { reg = <0 0x70000000 0 0x20000000>; };"
    starts = [start for start, _ in pairs(holes(body, release))]
    assert starts == [0, 0x90000000]
    stop = pairs(holes(body, release))[0][1]
    assert (stop < 0x60000000) is third


def unallocated(
    body: str, release: str, ram: list[AddressRange], grant: AddressRange | None, reserve: tuple[tuple[int, int], ...] = ()
) -> Regions:
    profile = preset(release)
    return find_unallocated_memory(boot_fdt_info(host(body, reserve), profile), profile, 40, ram, grant)


DOM0 = AddressRange(0x50000000, 512 * MIB)
GRANT = AddressRange(0x40400000, 0x40000)


@pytest.mark.parametrize(("release", "cut"), [("4.17", 0), ("4.19", 2 * MIB), ("4.22", 0)])
def test_unallocated_is_ram_without_domain_reservations_and_grant_table(release: str, cut: int) -> None:
    body = """reserved-memory { #address-cells = <2>; #size-cells = <2>; ranges; r@78000000 { reg = <0 0x78000000 0 0x8000000>; }; };"""
    found = unallocated(body, release, [DOM0], GRANT)
    assert pairs(found) == [(0x40600000, 0x50000000 - cut), (0x70000000, 0x78000000 - cut)]


def test_memreserve_counts_from_4_19() -> None:
    reserve = ((0x74000000, 0x1000),)
    assert pairs(unallocated("", "4.18", [DOM0], GRANT, reserve))[-1] == (0x70000000, 0x7FE00000)
    assert pairs(unallocated("", "4.19", [DOM0], GRANT, reserve))[-1] == (0x74200000, 0x7FE00000)


def test_all_ram_given_away() -> None:
    found = unallocated("", "4.22", [AddressRange(0x40000000, GIB)], GRANT)
    assert (found.ranges, found.error) == ((), "ENOENT")


def guest(megabytes: int) -> list[AddressRange]:
    first = min(megabytes, 3072)
    banks = [AddressRange(0x40000000, first * MIB)]
    return banks + ([AddressRange(0x200000000, (megabytes - first) * MIB)] if megabytes > first else [])


@pytest.mark.parametrize(
    ("megabytes", "bits", "expected"),
    [
        (256, 44, [(0x50000000, 0x100000000), (0x200000000, 0x10000000000)]),
        (4096, 44, [(0x240000000, 0x10000000000)]),
        (256, 34, [(0x50000000, 0x100000000), (0x200000000, 0x400000000)]),
        (256, 33, [(0x50000000, 0x100000000)]),
        (3008, 33, [(0xFC000000, 0x100000000)]),
        (3009, 33, []),
    ],
)
def test_guest_layout(megabytes: int, bits: int, expected: list[tuple[int, int]]) -> None:
    found = find_domU_holes(preset("4.20"), bits, guest(megabytes))
    assert pairs(found) == expected
    assert found.error == (None if expected else "ENOENT")


def test_passed_through_mmio_is_kept_out_from_4_21() -> None:
    uart = AddressRange(0xA0001000, 0x1000)
    assert pairs(find_domU_holes(preset("4.22"), 40, guest(1024), excluded=[uart])) == [
        (0x80000000, 0xA0000000),
        (0xA0200000, 0x100000000),
        (0x200000000, 0x10000000000),
    ]


def test_guest_constants() -> None:
    assert (GUEST_GNTTAB.start, GUEST_GNTTAB.size) == (0x38000000, 0x1000000)

"""Sizes and ranges as people write them."""

from __future__ import annotations

import re

import pytest

from dtanalyze.address.range import AddressRange
from dtanalyze.address.units import (
    GIB,
    KIB,
    MIB,
    TIB,
    format_range,
    format_size,
    parse_ram,
    parse_ram_size,
    parse_range,
    parse_size,
)
from dtanalyze.errors import UsageError


def test_units_are_powers_of_1024() -> None:
    assert (KIB, MIB, GIB, TIB) == (1024, 1048576, 1073741824, 1099511627776)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("0x1000", 4096),
        ("0X1f", 31),
        ("010", 10),  # decimal: no octal here
        ("4K", 4096),
        ("4k", 4096),
        ("512M", 536870912),
        ("2G", 2147483648),
        ("1T", 1099511627776),
        ("0x10M", 16777216),
        ("64MiB", 67108864),
        ("64MB", 67108864),
        (" 1G ", 1073741824),
        ("0x1b", 27),  # a hexadecimal digit, not "bytes"
    ],
)
def test_parse_size(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", " ", "M", "-1", "+1", "1.5G", "1 G", "0x", "12Q", "0b11", "1_000", "4KK", "٤", "1G2"])
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(UsageError, match=f"^'{re.escape(text)}' is not a size: write for example 512M, 0x20000000 or 4096"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "start", "size"),
    [
        ("0x48000000+512M", 0x48000000, 0x20000000),
        ("0x48000000-0x68000000", 0x48000000, 0x20000000),
        ("1G-2G", 0x40000000, 0x40000000),
        ("0+1", 0, 1),
        ("0xffffffffffffffff+1", 0xFFFFFFFFFFFFFFFF, 1),
        ("0-0x10000000000000000", 0, 1 << 64),
    ],
)
def test_parse_range(text: str, start: int, size: int) -> None:
    assert parse_range(text) == AddressRange(start, size)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0x1000", "'0x1000' is not a range: write START+SIZE or START-STOP, for example 0x48000000+512M"),
        ("", "'' is not a range"),
        ("0x1000+0", "the range '0x1000+0' is empty: its stop must lie above its start"),
        ("2G-1G", "the range '2G-1G' is empty: its stop must lie above its start"),
        ("1G-1G", "the range '1G-1G' is empty"),
        ("0xffffffffffffffff+2", "the range '0xffffffffffffffff+2' ends above 2^64"),
        ("0-0x10000000000000001", "ends above 2^64"),
        ("+1M", "'' is not a size"),
        ("1M+", "'' is not a size"),
        ("1M-2M-3M", "'2M-3M' is not a size"),
        ("a+b", "'a' is not a size"),
    ],
)
def test_parse_range_refuses(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        parse_range(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0"),
        (1, "1 byte"),
        (1536, "1.5 KiB"),
        (1537, "1537 bytes"),
        (4096, "4 KiB"),
        (0x8000000, "128 MiB"),
        (1536 << 20, "1.5 GiB"),
        ((1 << 30) + (256 << 20), "1.25 GiB"),
        ((1 << 30) + (128 << 20), "1152 MiB"),  # an eighth
        (1024 << 30, "1 TiB"),
        (1023 << 40, "1023 TiB"),
        (4095 << 20, "4095 MiB"),
        (1 << 64, "16 EiB"),
        (3 << 51, "6 PiB"),
        ((1 << 64) - 0xB000000, "16 EiB"),  # the rest of the address space
        ((1010 << 30) + 1, "1010 GiB"),
        (0x80000000, "2 GiB"),
        (3 << 40, "3 TiB"),
        (12288 + 256, "12.2 KiB"),
        ((10 << 30) + (512 << 20), "10.5 GiB"),
    ],
)
def test_format_size(size: int, text: str) -> None:
    assert format_size(size) == text


def test_format_range_shows_the_last_byte_as_the_kernel_does() -> None:
    assert format_range(0x1000, 0x2000) == "0x1000-0x1fff"
    assert format_range(0, 1 << 64) == "0x0-0xffffffffffffffff"


def test_format_range_shows_an_empty_range_as_empty() -> None:
    assert format_range(0x1000, 0x1000) == "0x1000+0"


# RAM's size has a unit: 512 is bytes for Linux, KiB for Xen and MiB for who types it.


@pytest.mark.parametrize(
    ("text", "size"), [("0", 0), ("512M", 512 * MIB), ("0x1000", 4096), ("536870912", 512 * MIB), ("4K", 4096)]
)
def test_a_size_of_ram(text: str, size: int) -> None:
    assert parse_ram_size(text) == size


@pytest.mark.parametrize("text", ["1", "512", " 2048 ", "1048575"])
def test_a_bare_number_of_ram_is_asked_about(text: str) -> None:
    size = text.strip()
    with pytest.raises(
        UsageError, match=f"'{size}' is {size} bytes of RAM: write {size}M if MiB are meant, {size}G if GiB are"
    ):
        parse_ram_size(text)
    with pytest.raises(UsageError, match=f"write {size}M if MiB"):
        parse_ram(f"0x40000000+{text}")


def test_ram_has_a_start() -> None:
    assert parse_ram("0x40000000+2G") == AddressRange(0x40000000, 2 * GIB)
    assert parse_ram("0x40000000-0x40001000") == AddressRange(0x40000000, 0x1000)
    for text, shown in (("2048", "0x40000000+2048M"), ("2G", "0x40000000+2G"), ("0x80000000", "0x40000000+0x80000000")):
        with pytest.raises(UsageError, match=re.escape(f"for example {shown}, with the address where RAM begins") + "$"):
            parse_ram(text)

"""A kernel's own .config over a preset."""

from __future__ import annotations

import pytest

from dtanalyze.board.bus import LINUX_6_13
from dtanalyze.errors import InputError
from dtanalyze.linux.kconfig import apply_kconfig, at_version, preset_of_version, read_kconfig
from dtanalyze.linux.profile import PRESETS, Arch, LinuxProfile

DEBIAN_6_12 = """\
#
# Automatically generated file; DO NOT EDIT.
# Linux/arm64 6.12.117 Kernel Configuration
#
CONFIG_CC_VERSION_TEXT="gcc-14 (Debian 14.2.0-19) 14.2.0"
CONFIG_ARM64=y
CONFIG_ARM64_4K_PAGES=y
# CONFIG_ARM64_16K_PAGES is not set
CONFIG_ARM64_VA_BITS_52=y
CONFIG_ARM64_VA_BITS=52
CONFIG_RANDOMIZE_BASE=y
CONFIG_XEN_BALLOON_MEMORY_HOTPLUG=y
CONFIG_XEN_UNPOPULATED_ALLOC=y

CONFIG_INITRAMFS_SOURCE=""
"""
DEBIAN_6_1 = """\
# Linux/arm64 6.1.192 Kernel Configuration
CONFIG_ARM64=y
CONFIG_ARM64_4K_PAGES=y
CONFIG_ARM64_VA_BITS=48
CONFIG_RANDOMIZE_BASE=y
# CONFIG_ZONE_DEVICE is not set
"""


def applied(text: str, preset: str = "6.12") -> LinuxProfile:
    return apply_kconfig(PRESETS[preset], read_kconfig(text)[0])


def test_options_strings_and_what_is_not_set() -> None:
    options, version = read_kconfig(DEBIAN_6_12)
    assert version == (6, 12)
    assert options["CONFIG_ARM64"] == "y"
    assert options["CONFIG_ARM64_16K_PAGES"] == "n"
    assert options["CONFIG_CC_VERSION_TEXT"] == "gcc-14 (Debian 14.2.0-19) 14.2.0"
    assert options["CONFIG_INITRAMFS_SOURCE"] == ""
    assert "CONFIG_ZONE_DEVICE" not in options


def test_a_config_without_a_banner_has_no_version() -> None:
    assert read_kconfig("CONFIG_ARM64=y\n")[1] is None
    assert read_kconfig("# Linux/arm64 7.0.0-rc3 Kernel Configuration\nCONFIG_ARM64=y\n")[1] == (7, 0)


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n", "obj-y += foo.o\n", "\x7fELF\x02", "CONFIG FOO\nCONFIG_X\n"])
def test_what_is_no_config(text: str) -> None:
    with pytest.raises(InputError, match="not a kernel .config"):
        read_kconfig(text)


def test_debians_kernels() -> None:
    new = applied(DEBIAN_6_12)
    assert (new.unpopulated_alloc, new.page_size, new.randomize_base, new.memory_hotplug_balloon) == (True, 4096, True, True)
    # 52 bits only on hardware that has them, which no .config tells.
    assert (new.va_bits, new.linear_map_size) == (48, 1 << 47)
    old = applied(DEBIAN_6_1, "6.1")
    assert (old.unpopulated_alloc, old.memory_hotplug_balloon, old.va_bits) == (False, False, 48)
    assert (old.name, old.option_on) == ("6.1", False)


@pytest.mark.parametrize(("name", "size"), [("4K", 4096), ("16K", 16384), ("64K", 65536)])
def test_page_sizes(name: str, size: int) -> None:
    assert applied(f"CONFIG_ARM64=y\nCONFIG_ARM64_{name}_PAGES=y\n").page_size == size


@pytest.mark.parametrize(
    ("text", "arch"),
    [
        ("CONFIG_ARM64=y", Arch.ARM64),
        ("CONFIG_ARM=y", Arch.ARM),
        ("CONFIG_X86=y", Arch.X86),
        ("CONFIG_MMU=y", Arch.ARM64),
        ("# CONFIG_ARM is not set", Arch.ARM64),
    ],
)
def test_architectures(text: str, arch: Arch) -> None:
    assert applied(text + "\n").arch is arch


@pytest.mark.parametrize(("bits", "kept"), [(39, 39), (42, 42), (47, 47), (48, 48), (52, 48)])
def test_address_bits(bits: int, kept: int) -> None:
    assert applied(f"CONFIG_ARM64_VA_BITS={bits}\n").va_bits == kept


@pytest.mark.parametrize(("name", "bits", "kept"), [("16K", 52, 47), ("16K", 48, 48), ("16K", 47, 47), ("64K", 52, 48)])
def test_what_a_52_bit_kernel_falls_back_to_depends_on_its_pages(name: str, bits: int, kept: int) -> None:
    text = f"CONFIG_ARM64=y\nCONFIG_ARM64_{name}_PAGES=y\nCONFIG_ARM64_VA_BITS={bits}\n"
    assert applied(text).va_bits == kept


def test_what_the_config_does_not_say_is_off_or_as_the_preset_has_it() -> None:
    found = applied("CONFIG_ARM64=y\n")
    assert (found.unpopulated_alloc, found.randomize_base, found.memory_hotplug_balloon) == (False, False, False)
    assert (found.va_bits, found.page_size, found.name) == (48, 4096, "6.12")


@pytest.mark.parametrize("value", ["many", "", "4x", "0x30", "0", "64", "99999999999"])
def test_address_bits_that_are_no_number(value: str) -> None:
    with pytest.raises(InputError, match="CONFIG_ARM64_VA_BITS"):
        applied(f"CONFIG_ARM64=y\nCONFIG_ARM64_VA_BITS={value}\n")


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ((4, 19), "5.16"),
        ((5, 10), "5.16"),
        ((5, 16), "5.16"),
        ((5, 17), "5.17"),
        ((6, 0), "5.17"),
        ((6, 1), "6.1"),
        ((6, 6), "6.1"),
        ((6, 12), "6.12"),
        ((6, 15), "6.12"),
        ((6, 16), "6.16"),
        ((7, 0), "6.16"),
        ((7, 3), "7.3"),
        ((9, 9), "7.3"),
    ],
)
def test_the_newest_preset_that_is_not_newer(version: tuple[int, int], name: str) -> None:
    assert preset_of_version(version) == name


def test_physical_bits_are_read_and_checked() -> None:
    assert apply_kconfig(PRESETS["6.1"], {"CONFIG_ARM64_PA_BITS": "52"}).pa_bits == 52
    assert apply_kconfig(PRESETS["6.1"], {}).pa_bits == 48
    with pytest.raises(InputError, match="CONFIG_ARM64_PA_BITS is 'many', neither 48 nor 52"):
        apply_kconfig(PRESETS["6.1"], {"CONFIG_ARM64_PA_BITS": "many"})


@pytest.mark.parametrize(
    ("version", "needs_cells", "crashes"),
    [((6, 12), False, True), ((6, 13), True, True), ((6, 15), True, True), ((7, 0), True, True), ((7, 1), True, False)],
)
def test_what_changed_between_two_presets(version: tuple[int, int], needs_cells: bool, crashes: bool) -> None:
    profile = at_version(PRESETS[preset_of_version(version)], version)
    assert (profile.address_rules is LINUX_6_13, profile.null_compatible_crashes) == (needs_cells, crashes)

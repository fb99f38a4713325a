"""A kernel's own .config over a preset."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from dtanalyze.board.bus import LINUX, LINUX_6_13
from dtanalyze.cli.kernel_options import KernelOptions
from dtanalyze.errors import InputError
from dtanalyze.linux.boot import Verdict
from dtanalyze.linux.kconfig import decoded, profile_of, read_kconfig
from dtanalyze.linux.profile import Arch, LinuxProfile
from tests.linux.build import answer, guest

BANNER = "# Linux/arm64 6.12.117 Kernel Configuration"
# What decides, as Debian's kernel for arm64 has it.
DEBIAN = {
    "CC_VERSION_TEXT": '"gcc-14 (Debian 14.2.0-19) 14.2.0"',
    "ARM64": "y",
    "ARM64_4K_PAGES": "y",
    "ARM64_16K_PAGES": "n",
    "ARM64_VA_BITS_52": "y",
    "ARM64_VA_BITS": "52",
    "ARM64_PA_BITS": "52",
    "XEN": "y",
    "RANDOMIZE_BASE": "y",
    "SPARSEMEM_VMEMMAP": "y",
    "MEMORY_HOTPLUG": "y",
    "MEMORY_HOTREMOVE": "y",
    "ZONE_DEVICE": "y",
    "XEN_BALLOON_MEMORY_HOTPLUG": "y",
    "XEN_UNPOPULATED_ALLOC": "y",
    "INITRAMFS_SOURCE": '""',
    "KASAN": "n",
}


def config(banner: str | None = BANNER, **changed: str | None) -> str:
    """Return the text of a .config; an option that is None is left out."""
    lines = ["#", "# Automatically generated file; DO NOT EDIT.", banner or "#", "#"]
    for name, value in {**DEBIAN, **changed}.items():
        if value is not None:
            lines.append(f"# CONFIG_{name} is not set" if value == "n" else f"CONFIG_{name}={value}")
    return "\n".join(lines) + "\n"


def applied(**changed: str | None) -> LinuxProfile:
    return profile_of(config(**changed))


def test_options_strings_and_what_is_not_set() -> None:
    found = read_kconfig(config(ZONE_DEVICE=None))
    assert (found.release, found.version) == ("6.12.117", (6, 12))
    assert (found.options["ARM64"], found.options["ARM64_16K_PAGES"]) == ("y", "n")
    assert found.options["CC_VERSION_TEXT"] == "gcc-14 (Debian 14.2.0-19) 14.2.0"
    assert found.options["INITRAMFS_SOURCE"] == ""
    assert "ZONE_DEVICE" not in found.options


@pytest.mark.parametrize("text", ["", "\n\n", "# a comment\n", "obj-y += foo.o\n", "\x7fELF\x02", "CONFIG FOO\nCONFIG_X\n"])
def test_what_is_no_config(text: str) -> None:
    with pytest.raises(InputError, match=r"not a kernel \.config"):
        read_kconfig(text)


def test_debians_kernels() -> None:
    new = applied()
    assert (new.unpopulated_alloc, new.page_size, new.randomize_base, new.memory_hotplug_balloon) == (True, 4096, True, True)
    # 52 bits only on hardware that has them, which no .config tells.
    assert (new.va_bits, new.linear_map_size, new.pa_bits) == (48, 1 << 47, 52)
    old = profile_of(
        config(
            "# Linux/arm64 6.1.192 Kernel Configuration",
            ARM64_VA_BITS="48",
            ZONE_DEVICE="n",
            XEN_UNPOPULATED_ALLOC=None,
            XEN_BALLOON_MEMORY_HOTPLUG=None,
        )
    )
    assert (old.unpopulated_alloc, old.memory_hotplug_balloon, old.va_bits) == (False, False, 48)
    assert (old.name, old.like, old.option_on) == ("6.1.192", "6.1", False)


# How it may stand on a disk.


@pytest.mark.parametrize(
    "content",
    [
        config().encode(),
        config().replace("\n", "\r\n").encode(),
        config().encode("utf-16"),
        config().encode("utf-8-sig"),
        gzip.compress(config().encode(), mtime=0),
        "".join(f"\t  {line}\n" for line in config().splitlines()).encode(),
        config().encode() + b"# \xff\xfe\n",
    ],
    ids=["plain", "CRLF", "UTF-16", "BOM", "gzip", "indented", "not UTF-8"],
)
def test_a_config_as_it_is_found(content: bytes, tmp_path: Path) -> None:
    assert profile_of(content) == profile_of(config())
    path = tmp_path / "config"
    path.write_bytes(content)
    assert KernelOptions(kconfig=str(path)).profiles() == (profile_of(config()),)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(config().encode(), mtime=0)[:-20], "ends too early"),
        (b"\x1f\x8b\x08\x00" + b"\xff" * 40, "cannot be unpacked"),
        (gzip.compress(b"\n" * (17 << 20), mtime=0), "more than 16 MiB"),
    ],
)
def test_a_damaged_or_swollen_config_gz(content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message):
        decoded(content)


def test_a_config_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="absent: No such file"):
        KernelOptions(kconfig=str(tmp_path / "absent")).profiles()


# Whole or not: what is absent is off only where the file shows why.


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"ARM64": None}, "an architecture"),
        ({"XEN": None}, "CONFIG_XEN:"),
        ({"XEN_UNPOPULATED_ALLOC": None}, "CONFIG_XEN_UNPOPULATED_ALLOC"),
        ({"XEN_UNPOPULATED_ALLOC": None, "ZONE_DEVICE": None}, "CONFIG_XEN_UNPOPULATED_ALLOC"),
        ({"ARM64_4K_PAGES": None}, "a page size"),
        ({"ARM64_VA_BITS": None}, "CONFIG_ARM64_VA_BITS"),
        ({"RANDOMIZE_BASE": None}, "CONFIG_RANDOMIZE_BASE"),
    ],
)
def test_a_config_without_its_defaults_is_refused(changed: dict[str, str | None], missing: str) -> None:
    with pytest.raises(InputError, match=missing) as caught:
        profile_of(config(**changed))
    assert "make olddefconfig" in str(caught.value)


def test_what_savedefconfig_writes_is_refused() -> None:
    """It leaves out the architecture, which has no prompt, and all that follows from defaults."""
    with pytest.raises(InputError, match="make olddefconfig"):
        profile_of("CONFIG_XEN=y\nCONFIG_RANDOMIZE_BASE=y\nCONFIG_MEMORY_HOTPLUG=y\nCONFIG_ZONE_DEVICE=y\n")


@pytest.mark.parametrize("off", ["ZONE_DEVICE", "MEMORY_HOTPLUG", "MEMORY_HOTREMOVE", "SPARSEMEM_VMEMMAP"])
def test_an_option_whose_dependency_is_off_is_off(off: str) -> None:
    changed: dict[str, str | None] = {"XEN_UNPOPULATED_ALLOC": None, "ZONE_DEVICE": None, off: "n"}
    assert not profile_of(config(**changed)).option_on


def test_before_5_17_arm64_could_not_choose_the_option() -> None:
    old = profile_of(config("# Linux/arm64 5.10.0 Kernel Configuration", XEN_UNPOPULATED_ALLOC=None))
    assert (old.name, old.like, old.option_on) == ("5.10.0", "5.16", False)


def test_kasan_that_the_file_does_not_mention_is_said() -> None:
    assert any("KASAN" in item for item in applied(KASAN=None).remarks)
    assert not any("KASAN" in item for item in applied(KASAN=None, HAVE_ARCH_KASAN="y").remarks)
    assert not any("KASAN" in item for item in applied().remarks)


# Without Xen: xen_early_init is empty (include/xen/arm/hypervisor.h).


def test_a_kernel_without_xen_boots_natively() -> None:
    result = answer(guest([(0x100000000, 0x10000000)]), applied(XEN="n", XEN_UNPOPULATED_ALLOC=None, ZONE_DEVICE="n"))
    assert result.verdict is Verdict.NATIVE
    assert "CONFIG_XEN is off" in result.reason
    assert {item.rule for item in result.findings} <= {"V-native"}
    misplaced = answer(guest([]).replace("hypervisor {", "hypervisor@1 {"), applied(XEN="n", XEN_UNPOPULATED_ALLOC=None))
    assert "X23" not in {item.rule for item in misplaced.findings}


@pytest.mark.parametrize("name", ["RISCV", "PPC", "LOONGARCH", "MIPS"])
def test_a_kernel_of_another_architecture_boots_natively(name: str) -> None:
    profile = profile_of(f"# Linux/{name.lower()} 6.12.0 Kernel Configuration\nCONFIG_{name}=y\nCONFIG_MMU=y\n")
    assert profile.arch is Arch.OTHER
    result = answer(guest([(0x100000000, 0x10000000)]), profile)
    assert result.verdict is Verdict.NATIVE
    assert name.lower() in result.reason


@pytest.mark.parametrize(("name", "arch"), [("ARM", Arch.ARM), ("X86", Arch.X86)])
def test_other_architectures_with_xen(name: str, arch: Arch) -> None:
    changed: dict[str, str | None] = dict.fromkeys(DEBIAN)
    profile = profile_of(config(**{**changed, name: "y", "XEN": "y", "XEN_UNPOPULATED_ALLOC": "y"}))
    assert (profile.arch, profile.without_xen) == (arch, "")
    assert profile_of(config(**{**changed, name: "y"})).without_xen  # XEN depends on what is off there


# Sizes and bits.


@pytest.mark.parametrize(("name", "size"), [("4K", 4096), ("16K", 16384), ("64K", 65536)])
def test_page_sizes(name: str, size: int) -> None:
    assert applied(**{"ARM64_4K_PAGES": "n", "ARM64_16K_PAGES": "n", f"ARM64_{name}_PAGES": "y"}).page_size == size


@pytest.mark.parametrize(("bits", "kept"), [(36, 36), (39, 39), (42, 42), (47, 47), (48, 48), (52, 48)])
def test_address_bits(bits: int, kept: int) -> None:
    assert applied(ARM64_VA_BITS=str(bits)).va_bits == kept


@pytest.mark.parametrize(("name", "bits", "kept"), [("16K", 52, 47), ("16K", 48, 48), ("16K", 47, 47), ("64K", 52, 48)])
def test_what_a_52_bit_kernel_falls_back_to_depends_on_its_pages(name: str, bits: int, kept: int) -> None:
    found = applied(**{"ARM64_4K_PAGES": "n", f"ARM64_{name}_PAGES": "y", "ARM64_VA_BITS": str(bits)})
    assert found.va_bits == kept


@pytest.mark.parametrize("value", ["many", "", "4x", "0x30", "0", "64", "99999999999"])
def test_address_bits_that_are_no_number(value: str) -> None:
    with pytest.raises(InputError, match="CONFIG_ARM64_VA_BITS is"):
        applied(ARM64_VA_BITS=value)


def test_physical_bits_are_read_and_checked() -> None:
    assert applied().pa_bits == 52
    assert applied(ARM64_PA_BITS=None).pa_bits == 48
    with pytest.raises(InputError, match="CONFIG_ARM64_PA_BITS is 'many', neither 48 nor 52"):
        applied(ARM64_PA_BITS="many")


@pytest.mark.parametrize(
    ("changed", "va_bits", "size"),
    [
        # PAGE_END is the shadow's start: _KASAN_SHADOW_START(va) = KASAN_SHADOW_END - 2^(va - scale), and
        # KASAN_SHADOW_END = 2^(64 - scale) + CONFIG_KASAN_SHADOW_OFFSET = -2^(VA_BITS_MIN - 1).
        ({"KASAN": "y", "KASAN_GENERIC": "y"}, "39", 0x3000000000),
        ({"KASAN": "y", "KASAN_SW_TAGS": "y"}, "39", 0x3800000000),
        ({"KASAN": "y", "KASAN_HW_TAGS": "y"}, "39", 0x4000000000),
        ({"KASAN": "n"}, "39", 0x4000000000),
        ({"KASAN": "y", "KASAN_GENERIC": "y"}, "48", 0x600000000000),
        ({"KASAN": "y", "KASAN_SW_TAGS": "y"}, "52", 0x700000000000),
    ],
)
def test_kasans_shadow_takes_a_quarter_or_an_eighth(changed: dict[str, str | None], va_bits: str, size: int) -> None:
    assert applied(ARM64_VA_BITS=va_bits, **changed).linear_map_size == size


# Which release.


@pytest.mark.parametrize(
    ("banner", "name", "like"),
    [
        ("# Linux/arm64 6.12.117 Kernel Configuration", "6.12.117", "6.12"),
        ("# Linux/arm64 7.0.0-rc3 Kernel Configuration", "7.0.0-rc3", "6.16"),
        ("# Linux/arm64 5.15.0-xilinx-v2022.1 Kernel Configuration", "5.15.0-xilinx-v2022.1", "5.16"),
        ("# Linux/arm64 7.2.1 Kernel Configuration", "7.2.1", "7.3"),
    ],
)
def test_the_banners_release_is_what_reports_name(banner: str, name: str, like: str) -> None:
    profile = profile_of(config(banner))
    assert (profile.name, profile.like) == (name, like)
    result = answer(guest([(0x100000000, 0x10000000)]), profile)
    assert result.assumed[0].startswith(f"Linux {name} on arm64")
    assert f"Linux {name} behaves as {like}" in result.assumed


def test_without_a_banner_the_release_is_a_stated_guess() -> None:
    profile = profile_of(config("#"))
    assert profile.name == "7.3"
    assert any("names no release, a guess: Linux 7.3" in item for item in profile.remarks)
    assert not any("guess" in item for item in profile_of(config("#"), "6.12").remarks)


def test_linux_outranks_the_banner_and_says_so() -> None:
    assert profile_of(config(), "6.12").remarks == ()
    other = profile_of(config(), "6.1")
    assert (other.name, other.capped_by_pa_bits) == ("6.1", True)
    assert other.remarks == ("the .config is of Linux 6.12.117, read as one of 6.1 as --linux says",)


@pytest.mark.parametrize(
    ("release", "needs_cells", "crashes", "first_tuple"),
    [
        ("6.12", False, True, False),
        ("6.13", True, True, False),
        ("6.15.2", True, True, False),
        ("7.0", True, True, False),
        ("7.1", True, False, False),
        ("7.2", True, False, True),
    ],
)
def test_what_changed_between_two_presets(release: str, needs_cells: bool, crashes: bool, first_tuple: bool) -> None:
    profile = profile_of(config(f"# Linux/arm64 {release} Kernel Configuration"))
    assert profile.address_rules is (LINUX_6_13 if needs_cells else LINUX)
    assert (profile.null_compatible_crashes, profile.reserved_first_tuple_only) == (crashes, first_tuple)


def test_only_where_nothing_says_so_is_the_option_taken_for_granted() -> None:
    body = guest([(0x100000000, 0x10000000)])
    assert "defconfig" in answer(body, "6.12").assumed[0]
    assert "defconfig" not in answer(body, applied()).assumed[0]
    (given,) = KernelOptions(linux="6.12", unpopulated_alloc=True).profiles()
    assert "defconfig" not in answer(body, given).assumed[0]

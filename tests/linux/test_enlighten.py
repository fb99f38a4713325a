"""arch/arm/xen/enlighten.c: finding Xen, reading its regions, building xen_resource (spec 2.1, 2.2, 3.1, 3.2)."""

from __future__ import annotations

import pytest

from dtanalyze.board.build import build_board
from dtanalyze.devicetree.blob import parse
from dtanalyze.devicetree.write import cells, new_node, strings, to_blob
from dtanalyze.linux.boot import Verdict, grant_table
from dtanalyze.linux.enlighten import XenInit, arch_xen_unpopulated_init, find_xen_node, xen_early_init
from dtanalyze.linux.memory_hotplug import PluggableRange
from dtanalyze.linux.profile import PRESETS
from tests.linux.build import MEMORY, ROOT, XEN, answer, board, guest, hypervisor, reg, words

TOP = (1 << 64) - 1
G = (0x38000000, 0x1000000)
OLD, NEW = ["5.17", "6.1"], ["6.12", "6.16", "7.3"]


def init(body: str, linux: str = "6.12", limits: PluggableRange | None = None) -> XenInit:
    return arch_xen_unpopulated_init(board(body, linux), PRESETS[linux], limits)


def regions(*pairs: tuple[int, int], linux: str = "6.12", limits: PluggableRange | None = None) -> XenInit:
    return init(ROOT + hypervisor(pairs), linux, limits)


def shape(found: XenInit) -> tuple[tuple[int, int], list[tuple[int, int]]]:
    """xen_resource's bounds and the holes in it, ends inclusive."""
    assert found.resource is not None, found
    assert found.error is None
    assert {child.name for child in found.resource.children} <= {"Unavailable space"}
    return (found.resource.start, found.resource.end), [(item.start, item.end) for item in found.resource.children]


def failure(found: XenInit) -> tuple[str | None, tuple[str, ...]]:
    assert found.resource is None
    return found.error, found.messages


# Spec 2.1, in the order of its rows.


def test_without_a_xen_node_there_is_nothing_to_read() -> None:
    assert failure(init(ROOT + MEMORY))[0] == "ENODEV"


@pytest.mark.parametrize("body", [hypervisor([]), f"hypervisor {{ {XEN} }};", f"hypervisor {{ {XEN} reg; }};"])
def test_no_region_is_said_aloud(body: str) -> None:
    assert failure(init(ROOT + body)) == ("EINVAL", ("No extended regions are found",))


def test_one_region_is_the_whole_resource() -> None:
    found = regions((0x80000000, 0x10000000))
    assert shape(found) == ((0x80000000, 0x8FFFFFFF), [])
    assert found.reason == "1 extended region"


def test_holes_lie_between_regions_and_adjacent_ones_merge() -> None:
    """Spec 9."""
    found = regions((0x48200000, 0xBE00000), (0x5A000000, 0x14000000), (0x6E000000, 0x2000000), (0x600000000, 0x40000000))
    assert shape(found) == ((0x48200000, 0x63FFFFFFF), [(0x54000000, 0x59FFFFFF), (0x70000000, 0x5FFFFFFFF)])


@pytest.mark.parametrize(
    "pairs",
    [
        [(0x90000000, 0x1000000), (0x80000000, 0x1000000)],
        [(0x80000000, 0x1000000), (0x80000000, 0x1000000)],
        [(0x80000000, 0x2000000), (0x81000000, 0x2000000)],
        [(0x80000000, 0x4000000), (0x81000000, 0x1000000)],
        [(0x80000000, 0x1001), (0x80001000, 0x1000)],
        [(0x80000000, 0x1000), (0x80002000, 0x1000), (0x80001000, 0x1000)],
    ],
    ids=["unsorted", "duplicate", "overlapping", "contained", "one byte", "the third only"],
)
def test_regions_that_do_not_ascend_fail_without_a_specific_line(pairs: list[tuple[int, int]]) -> None:
    found = regions(*pairs)
    assert failure(found) == ("EINVAL", ())
    assert "must ascend" in found.reason


def test_one_bad_region_discards_them_all() -> None:
    result = answer(guest([(0x100000000, 0x40000000), (0x90000000, 0x40000000)]), requests=(1,))
    assert result.verdict is Verdict.BALLOON
    assert result.answer is not None
    assert result.answer.init is not None
    assert result.answer.init.messages == ("xen:unpopulated: Cannot initialize target resource",)
    assert result.xen_view is None


@pytest.mark.parametrize(
    ("linux", "line"),
    [(name, "xen:unpopulated: Cannot initialize target resource") for name in ("v3", "5.17", "6.1", "6.12", "6.16", "7.3")]
    + [("v2", "Cannot initialize Xen resource")],
)
def test_every_kernel_ends_a_failed_init_with_its_own_line(linux: str, line: str) -> None:
    result = answer(guest([]), linux)
    assert result.answer is not None
    assert result.answer.init is not None
    assert result.answer.init.messages == ("No extended regions are found", line)


# Sizes and bounds.


@pytest.mark.parametrize("linux", [*OLD, *NEW])
def test_a_zero_size_region_among_others_is_a_no_op(linux: str) -> None:
    before = regions((0x80000000, 0), (0xA0000000, 0x10000000), linux=linux)
    assert shape(before) == ((0x80000000, 0xAFFFFFFF), [(0x80000000, 0x9FFFFFFF)])
    between = regions((0x80000000, 0x10000000), (0x98000000, 0), (0xA0000000, 0x10000000), linux=linux)
    assert shape(between) == ((0x80000000, 0xAFFFFFFF), [(0x90000000, 0x97FFFFFF), (0x98000000, 0x9FFFFFFF)])
    after = regions((0x80000000, 0x10000000), (0xA0000000, 0), linux=linux)
    assert shape(after) == ((0x80000000, 0x9FFFFFFF), [(0x90000000, 0x9FFFFFFF)])


def test_a_zero_size_region_alone_leaves_a_target_without_addresses() -> None:
    assert shape(regions((0x80000000, 0))) == ((0x80000000, 0x7FFFFFFF), [])
    result = answer(guest([(0x80000000, 0)]), requests=(1,))
    assert result.verdict is Verdict.EXHAUSTED
    assert result.answer is not None
    assert result.answer.requests[0].message == "Cannot allocate new IOMEM resource"


@pytest.mark.parametrize("linux", [*OLD, *NEW])
def test_zero_at_zero_alone_or_first_opens_all_space(linux: str) -> None:
    assert shape(regions((0, 0), linux=linux)) == ((0, TOP), [])
    assert shape(regions((0, 0), (0xA0000000, 0x10000000), linux=linux)) == ((0, TOP), [(0, 0x9FFFFFFF)])


def test_zero_at_zero_later_fails() -> None:
    assert failure(regions((0x80000000, 0x10000000), (0, 0))) == ("EINVAL", ())


@pytest.mark.parametrize("linux", OLD)
def test_an_end_beyond_2_to_the_64_wraps_in_old_kernels(linux: str) -> None:
    found = regions((0xFFFFFFFFF0000000, 0x20000000), linux=linux)
    assert shape(found) == ((0xFFFFFFFFF0000000, 0x0FFFFFFF), [])
    assert found.resource is not None and list(found.resource.gaps()) == []
    # Behind an ordinary region the hole up to it does not fit: the highest end is then the ordinary one.
    among = regions((0x80000000, 0x10000000), (0xFFFFFFFFF0000000, 0x20000000), linux=linux)
    assert failure(among)[0] == "EBUSY"


@pytest.mark.parametrize("linux", NEW)
def test_an_end_beyond_2_to_the_64_fails_in_new_kernels(linux: str) -> None:
    found = regions((0x80000000, 0x10000000), (0xFFFFFFFFF0000000, 0x20000000), linux=linux)
    assert failure(found) == ("EOVERFLOW", ())
    assert "region 1" in found.reason


@pytest.mark.parametrize("linux", [*OLD, *NEW])
def test_a_region_may_end_exactly_at_2_to_the_64(linux: str) -> None:
    assert shape(regions((0xFFFFFFFFF0000000, 0x10000000), linux=linux)) == ((0xFFFFFFFFF0000000, TOP), [])


def test_after_the_end_of_the_space_the_next_hole_starts_at_0_and_does_not_fit() -> None:
    found = regions((0xFFFFFFFFF0000000, 0x10000000), (0xFFFFFFFFF8000000, 0x1000))
    assert failure(found) == ("EBUSY", ("Cannot insert resource [??? 0x00000000-0xfffffffff7ffffff flags 0x0] (-16)",))


# Decoding of reg for a child of the root, spec 2.2.


def decoded(root: str, reg_text: str, linux: str = "6.12") -> XenInit:
    return init(f"{root} hypervisor {{ {XEN} {reg_text} }};", linux)


@pytest.mark.parametrize("cut", [1, 2, 3])
def test_a_trailing_partial_tuple_is_ignored(cut: int) -> None:
    body = words((0x38000000, 0x1000000, 0x80000000, 0x10000000)).rstrip(">") + " 0" * cut + ">"
    assert shape(decoded(ROOT, f"reg = {body};")) == ((0x80000000, 0x8FFFFFFF), [])


def test_bytes_that_fill_no_cell_are_ignored() -> None:
    raw = bytes.fromhex("38000000 01000000 80000000 10000000 0000 00")
    found = decoded("#address-cells = <1>; #size-cells = <1>;", f"reg = [{raw.hex(' ')}];")
    assert shape(found) == ((0x80000000, 0x8FFFFFFF), [])


@pytest.mark.parametrize(
    ("root", "numbers"),
    [
        ("#address-cells = <1>; #size-cells = <1>;", (0x38000000, 0x1000, 0x80000000, 0x10000000)),
        ("#address-cells = <2>; #size-cells = <1>;", (0, 0x38000000, 0x1000, 0, 0x80000000, 0x10000000)),
        ("#address-cells = <1>; #size-cells = <2>;", (0x38000000, 0, 0x1000, 0x80000000, 0, 0x10000000)),
        # Only the low 64 bits of four cells, or of a size of three, count.
        ("#address-cells = <4>; #size-cells = <1>;", (0, 0, 0, 0x38000000, 0x1000, 7, 7, 0, 0x80000000, 0x10000000)),
        ("#address-cells = <1>; #size-cells = <3>;", (0x38000000, 0, 0, 0x1000, 0x80000000, 9, 0, 0x10000000)),
    ],
    ids=["1/1", "2/1", "1/2", "4/1", "1/3"],
)
def test_cell_counts(root: str, numbers: tuple[int, ...]) -> None:
    assert shape(decoded(root, f"reg = {words(numbers, 1)};")) == ((0x80000000, 0x8FFFFFFF), [])


@pytest.mark.parametrize("linux", ["6.1", "6.12"])
def test_old_kernels_take_a_silent_root_for_1_and_1(linux: str) -> None:
    found = decoded("", f"reg = {words((0x38000000, 0x1000, 0x80000000, 0x10000000), 1)};", linux)
    assert shape(found) == ((0x80000000, 0x8FFFFFFF), [])


@pytest.mark.parametrize("linux", ["6.16", "7.3"])
def test_from_6_13_a_root_without_address_cells_is_no_bus(linux: str) -> None:
    text = f"reg = {words((0x38000000, 0x1000, 0x80000000, 0x10000000), 1)};"
    assert failure(decoded("", text, linux)) == ("EINVAL", ("No extended regions are found",))
    assert failure(decoded("#size-cells = <1>;", text, linux)) == ("EINVAL", ("No extended regions are found",))
    # #size-cells alone may be missing: 1.
    assert shape(decoded("#address-cells = <1>;", text, linux)) == ((0x80000000, 0x8FFFFFFF), [])


@pytest.mark.parametrize("count", [0, 5])
def test_an_impossible_number_of_address_cells_gives_no_entry(count: int) -> None:
    root = f"#address-cells = <{count}>; #size-cells = <1>;"
    found = decoded(root, f"reg = {words([1] * 24, 1)};")
    assert failure(found) == ("EINVAL", ("No extended regions are found",))


def test_without_size_cells_entries_are_counted_and_not_translated() -> None:
    found = decoded("#address-cells = <2>; #size-cells = <0>;", f"reg = {words((0x38000000, 0x80000000))};")
    assert failure(found) == ("EINVAL", ())


@pytest.mark.parametrize(
    ("flags", "error"),
    [(0x200, None), (0x201, None), (0x40000200, None), (0x100, "EINVAL"), (0x0, "EINVAL"), (0x2, "EINVAL")],
)
def test_three_address_cells_begin_with_a_word_of_flags(flags: int, error: str | None) -> None:
    numbers = (0x200, 0, 0x38000000, 0, 0x1000, flags, 1, 0x80000000, 0, 0x10000000)
    found = decoded("#address-cells = <3>; #size-cells = <2>;", f"reg = {words(numbers, 1)};")
    if error is None:
        assert shape(found) == ((0x180000000, 0x18FFFFFFF), [])
    else:
        assert failure(found) == (error, ())


def test_a_deeper_node_is_translated_and_without_ranges_refused() -> None:
    pairs = [G, (0x1000, 0x2000)]
    inner = f"hypervisor@0 {{ {XEN} {reg(pairs)} }};"
    moved = f"soc {{ {ROOT} ranges = {words((0, 0x700000000, 0x80000000))}; {inner} }};"
    assert shape(init(ROOT + moved)) == ((0x700001000, 0x700002FFF), [])
    closed = f"soc {{ {ROOT} {inner} }};"
    found = init(ROOT + closed)
    assert failure(found) == ("EINVAL", ())
    assert "/soc has no ranges" in found.reason


# The V2 hook clips to the hotplug range.


def test_v2_clips_resource_and_holes_to_the_linear_map() -> None:
    limits = PluggableRange(0x40000000, 0x9FFFFFFF, False)
    pairs = [(0x10000000, 0x8000000), (0x38000000, 0x18000000), (0x80000000, 0x10000000), (0x98000000, 0x10000000)]
    found = regions(*pairs, linux="v2", limits=limits)
    # The hole below the map is left out; no bound lies outside it.
    assert shape(found) == ((0x40000000, 0x9FFFFFFF), [(0x50000000, 0x7FFFFFFF), (0x90000000, 0x97FFFFFF)])


def test_mainline_does_not_clip_here() -> None:
    limits = PluggableRange(0x40000000, 0x9FFFFFFF, False)
    found = regions((0x10000000, 0x8000000), (0x98000000, 0x10000000), linux="6.12", limits=limits)
    assert shape(found) == ((0x10000000, 0xA7FFFFFF), [(0x18000000, 0x97FFFFFF)])


# Spec 3.1: the early flat scan.


def early(body: str, linux: str = "6.12") -> tuple[bool, str | None, str]:
    found = xen_early_init(board(ROOT + body, linux), PRESETS[linux])
    return found.found, found.version, found.reason


@pytest.mark.parametrize(
    ("compatible", "version"),
    [
        ('"xen,xen-4.20", "xen,xen"', "4.20"),
        ('"xen,xen-4.17.7", "xen,xen"', "4.17.7"),
        ('"xen,xen-4.20", "foo", "XEN,Xen"', "4.20"),
        ('"xen,xen-", "xen,xen"', ""),
    ],
)
def test_xen_is_found_with_its_version(compatible: str, version: str) -> None:
    assert early(f"hypervisor {{ compatible = {compatible}; }};")[:2] == (True, version)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('hypervisor { compatible = "xen,xen", "xen,xen-4.17"; };', "Xen version not found"),
        ('hypervisor { compatible = "xen,xen"; };', "Xen version not found"),
        ('hypervisor { compatible = "XEN,XEN-4.17", "xen,xen"; };', "Xen version not found"),
        ('hypervisor { compatible = "xen,xen-4.17"; };', "No Xen support"),
        ('hypervisor { compatible = "linux,kvm"; };', "No Xen support"),
        ('hypervisor@b0000000 { compatible = "xen,xen-4.17", "xen,xen"; };', "/hypervisor@b0000000"),
        ('soc { hypervisor { compatible = "xen,xen-4.17", "xen,xen"; }; };', "/soc/hypervisor"),
        ('Hypervisor { compatible = "xen,xen-4.17", "xen,xen"; };', "/Hypervisor"),
        ("chosen { };", "no /hypervisor node"),
    ],
    ids=["order", "generic only", "version's case", "version only", "foreign", "unit address", "depth 2", "case", "none"],
)
def test_what_keeps_xen_from_being_found(body: str, reason: str) -> None:
    found, version, why = early(body)
    assert (found, version) == (False, None)
    assert reason in why


def test_the_property_must_be_longer_than_eleven_bytes() -> None:
    assert early('hypervisor { compatible = "xen,xen-4", "xen,xen"; };')[:2] == (True, "4")
    rules, profile = PRESETS["6.12"].address_rules, PRESETS["6.12"]
    short, long = twins(("xen,xen",), ("xen,xen-4.",)), twins(("xen,xen",), ("xen,xen-4.1",))
    assert not xen_early_init(build_board(parse(short), rules), profile).found
    assert xen_early_init(build_board(parse(long), rules), profile).version == "4.1"


@pytest.mark.parametrize("status", ["disabled", "fail", "reserved"])
def test_status_is_ignored(status: str) -> None:
    body = f'{ROOT} {MEMORY} hypervisor {{ {XEN} status = "{status}"; {reg([G, (0x80000000, 0x10000000)])} }};'
    assert answer(body).verdict is Verdict.SCRATCH


@pytest.mark.parametrize("linux", ["v3", "5.17", "6.1", "6.12", "6.16"])
def test_without_compatible_kernels_before_7_1_die(linux: str) -> None:
    found, version, why = early("hypervisor { };", linux)
    assert (found, version) == (False, None)
    assert "NULL" in why


def test_without_compatible_fixed_kernels_go_on() -> None:
    found, _, why = early("hypervisor { };", "7.3")
    assert not found
    assert "NULL" not in why


def twins(*compatibles: tuple[str, ...]) -> bytes:
    """Several nodes called /hypervisor, which no DTS compiler writes."""
    root = new_node("", None, {"#address-cells": cells([2]), "#size-cells": cells([2])})
    for names in compatibles:
        new_node("hypervisor", root, {"compatible": strings(*names)} if names else {})
    return to_blob(root)


@pytest.mark.parametrize(
    ("compatibles", "expected"),
    [
        ([("linux,kvm",), ("xen,xen-4.17", "xen,xen")], (True, "4.17")),
        ([("xen,xen-4.17", "xen,xen"), ("linux,kvm",)], (True, "4.17")),
        ([("xen,xen",), ("xen,xen-4.18",)], (True, "4.18")),
        ([("xen,xen-4.17", "xen,xen"), ("xen,xen-4.18", "xen,xen")], (True, "4.18")),
    ],
    ids=["second", "first", "both contribute", "the last version stays"],
)
def test_the_scan_goes_on_after_a_match(compatibles: list[tuple[str, ...]], expected: tuple[bool, str]) -> None:
    found = xen_early_init(build_board(parse(twins(*compatibles)), PRESETS["6.12"].address_rules), PRESETS["6.12"])
    assert (found.found, found.version) == expected


def test_a_second_node_without_compatible_kills_an_old_kernel_all_the_same() -> None:
    made = parse(twins(("xen,xen-4.17", "xen,xen"), ()))
    assert not xen_early_init(build_board(made, PRESETS["6.12"].address_rules), PRESETS["6.12"]).found
    assert xen_early_init(build_board(made, PRESETS["7.3"].address_rules), PRESETS["7.3"]).found


# An unterminated first string: bytes of "xen,xen-4.17" alone, no NUL anywhere. Nothing generic can follow it, so the
# generic name has to come from a twin.
def unterminated() -> bytes:
    root = new_node("", None, {"#address-cells": cells([2]), "#size-cells": cells([2])})
    new_node("hypervisor", root, {"compatible": strings("xen,xen")})
    new_node("hypervisor", root, {"compatible": b"xen,xen-4.17"})
    return to_blob(root)


@pytest.mark.parametrize(("linux", "found"), [("6.1", True), ("6.12", True), ("6.16", True), ("7.3", False)])
def test_an_unterminated_version_is_taken_by_old_kernels_only(linux: str, found: bool) -> None:
    made = build_board(parse(unterminated()), PRESETS[linux].address_rules)
    assert xen_early_init(made, PRESETS[linux]).found is found


# Spec 3.2 and 3.3: the later lookup is by compatible alone.


def test_the_first_xen_node_in_document_order_is_the_one_read() -> None:
    other = f'other@c0000000 {{ compatible = "XEN,xen"; {reg([(0x30000000, 0x1000), (0xC0000000, 0x8000000)])} }};'
    body = f"{ROOT} {MEMORY} {other} {hypervisor([(0x80000000, 0x10000000)])}"
    made = board(body)
    node = find_xen_node(made)
    assert node is not None
    assert node.path == "/other@c0000000"
    result = answer(body, requests=(1,))
    assert result.xen == "4.20"
    assert [(item.start, item.stop) for item in result.extended_regions] == [(0xC0000000, 0xC8000000)]
    assert result.grant_table is not None
    assert result.grant_table.start == 0x30000000
    later = f"{ROOT} {MEMORY} {hypervisor([(0x80000000, 0x10000000)])} {other}"
    assert answer(later).extended_regions[0].start == 0x80000000


def test_document_order_is_depth_first() -> None:
    deep = f"a {{ b {{ {XEN} }}; }};"
    node = find_xen_node(board(ROOT + deep + hypervisor([])))
    assert node is not None
    assert node.path == "/a/b"


def test_the_grant_table_is_reg_0_unless_it_starts_at_0() -> None:
    found = grant_table(board(guest([], grant=(0x38000000, 0x1000000))))
    assert found is not None
    assert (found.kind, found.range.start, found.range.stop) == ("grant table", 0x38000000, 0x39000000)
    assert grant_table(board(guest([], grant=(0, 0x1000000)))) is None
    assert grant_table(board(f"{ROOT} hypervisor {{ {XEN} }};")) is None
    assert grant_table(board(ROOT)) is None


def test_a_region_at_the_last_address_discards_all() -> None:
    # of_address_to_resource takes the translation for a failed one.
    result = answer(guest([(0x80000000, 0x20000000), ((1 << 64) - 1, 1)]))
    assert result.verdict is Verdict.BALLOON
    assert "extended region 1 has no address" in result.reason

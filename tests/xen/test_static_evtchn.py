"""Event channels between domains: what Xen says of each node, worked out by hand from alloc_domain_evtchn."""

from __future__ import annotations

import pytest

from dtanalyze.xen.build import read_build
from dtanalyze.xen.options import XenOptions
from dtanalyze.xen.predict import predict, prepare
from dtanalyze.xen.prediction import Prediction
from dtanalyze.xen.profile import preset
from tests.xen.build import host

_REST = """
gic: interrupt-controller@8000000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; phandle = <1>;
    reg = <0 0x8000000 0 0x10000>, <0 0x80a0000 0 0xf60000>; interrupt-parent = <1>; interrupts = <1 9 4>; };
timer { compatible = "arm,armv8-timer"; interrupt-parent = <1>; interrupts = <1 13 4>, <1 14 4>, <1 11 4>, <1 10 4>; };
"""
_KERNEL = 'k@{at} {{ compatible = "multiboot,kernel", "multiboot,module"; reg = <0 0x{at} 0 0x10000>; }};'
_DOM0 = _KERNEL.format(at="48000000")


def _end(port: int, to: int, phandle: int, name: str = "e") -> str:
    return f'{name} {{ compatible = "xen,evtchn-v1"; phandle = <{phandle}>; xen,evtchn = <{port} {to}>; }};'


def _domu(name: str, at: str, inside: str, more: str = "") -> str:
    head = f'{name} {{ compatible = "xen,domain"; #address-cells = <2>; #size-cells = <2>; memory = <0 0x8000>; cpus = <1>;'
    return f"{head} {more} {_KERNEL.format(at=at)} {inside} }};"


def _asked(chosen: str, release: str = "4.20", config: str = "") -> Prediction:
    cells = "#address-cells = <2>; #size-cells = <2>;"
    tree = host(f"{_REST.replace('gic: ', '')} chosen {{ {cells} {chosen} }};")
    options = XenOptions(build=read_build(config)) if config else XenOptions()
    return predict(prepare(tree, options), preset(release), options)[0]


def _lines(chosen: str, release: str = "4.20") -> tuple[str, ...]:
    stop = _asked(chosen, release).stopped_by
    return stop.lines if stop is not None else ()


_ONE, _TWO = "4c000000", "4e000000"


def test_two_ends_that_name_each_other_are_joined() -> None:
    assert _lines(_DOM0 + _domu("d1", _ONE, _end(10, 0x21, 0x20)) + _domu("d2", _TWO, _end(11, 0x20, 0x21))) == ()


def test_dom0_has_its_ends_in_chosen() -> None:
    assert _lines(_DOM0 + _end(10, 0x21, 0x20) + _domu("d1", _ONE, _end(11, 0x20, 0x21))) == ()


@pytest.mark.parametrize(
    ("one", "other", "line"),
    [
        (_end(10, 0x99, 0x20), "", "evtchn: could not find remote evtchn phandle"),
        (_end(10, 0, 0x20), "", "xen,evtchn property should not be empty."),
        ('e { compatible = "xen,evtchn-v1"; };', "", "xen,evtchn property should not be empty."),
        ('e { compatible = "xen,evtchn-v1"; xen,evtchn = <10>; };', "", "xen,evtchn property value is not valid."),
        (_end(10, 0x21, 0x20), _end(11, 0x22, 0x21), "xen,evtchn property is not setup correctly."),
        (_end(1024, 0x21, 0x20), _end(11, 0x20, 0x21), "evtchn_alloc_unbound() failure (Error -28) "),
        (_end(10, 0x21, 0x20), _end(1024, 0x20, 0x21), "evtchn_bind_interdomain() failure (Error -28) "),
        (_end(10, 0x20, 0x20), "", "evtchn_bind_interdomain() failure (Error -16) "),
        (
            _end(10, 0x21, 0x20) + _end(10, 0x23, 0x22, "f"),
            _end(11, 0x20, 0x21) + _end(12, 0x22, 0x23, "f"),
            "evtchn_alloc_unbound() failure (Error -16) ",
        ),
    ],
)
@pytest.mark.parametrize("release", ["4.17", "4.20", "4.22"])
def test_what_cannot_be_set_up_stops_xen(one: str, other: str, line: str, release: str) -> None:
    found = _lines(_DOM0 + _domu("d1", _ONE, one) + _domu("d2", _TWO, other), release)
    assert found == (line, "Could not set up domains evtchn")


def test_an_end_outside_a_domain_belongs_to_none() -> None:
    chosen = _DOM0 + f"group {{ {_end(10, 0x21, 0x20)} }};" + _domu("d1", _ONE, _end(11, 0x20, 0x21))
    assert _lines(chosen)[0] == "evtchn: could not find domains"


def test_port_1_is_the_xenstores_where_there_is_one() -> None:
    ends = _end(1, 0x21, 0x20), _domu("d2", _TWO, _end(11, 0x20, 0x21))
    assert _lines(_DOM0 + _domu("d1", _ONE, ends[0]) + ends[1]) == ()
    found = _lines(_DOM0 + _domu("d1", _ONE, ends[0], 'xen,enhanced = "enabled";') + ends[1])
    assert found[:1] == ("evtchn_alloc_unbound() failure (Error -16) ",)


def test_port_0_is_the_first_free_one() -> None:
    ends = _end(0, 0x21, 0x20) + _end(1, 0x23, 0x22, "f"), _end(0, 0x20, 0x21) + _end(5, 0x22, 0x23, "f")
    found = _lines(_DOM0 + _domu("d1", _ONE, ends[0]) + _domu("d2", _TWO, ends[1]))
    assert found[:1] == ("evtchn_alloc_unbound() failure (Error -16) ",), "the second end wants port 1, which the first took"


def test_4_16_and_builds_without_it_do_not_look() -> None:
    chosen = _DOM0 + _domu("d1", _ONE, _end(10, 0x99, 0x20))
    assert _lines(chosen, "4.16") == ()
    assert _asked(chosen, config="# CONFIG_STATIC_EVTCHN is not set\n").stopped_by is None
    assert _asked(chosen, config="CONFIG_STATIC_EVTCHN=y\n").stopped_by is not None


@pytest.mark.parametrize(
    ("one", "other", "because"),
    [
        (_end(10, 0x20, 0x20), "", "port 10 of /chosen/d1 is taken"),
        (_end(1024, 0x21, 0x20), _end(11, 0x20, 0x21), "port 1024 is beyond the 1024 that /chosen/d1 has"),
    ],
)
def test_why_a_port_cannot_be_had(one: str, other: str, because: str) -> None:
    stop = _asked(_DOM0 + _domu("d1", _ONE, one) + _domu("d2", _TWO, other)).stopped_by
    assert stop is not None and because in stop.because


def test_the_end_that_stands_in_no_domain_is_named() -> None:
    """get_domid looks at the parent's compatible: the first end's, then the other's."""
    outside = "box { " + _end(11, 0x20, 0x21) + " };"
    stop = _asked(_DOM0 + _domu("d1", _ONE, _end(10, 0x21, 0x20)) + outside).stopped_by
    assert stop is not None and stop.lines[0] == "evtchn: could not find domains"
    assert "/chosen/box/e does not stand" in stop.because

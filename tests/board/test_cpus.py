"""How many CPUs, and how many address bits they have: known cores only."""

from __future__ import annotations

import pytest

from dtanalyze.board.cpus import cpu_nodes, pa_bits
from tests.trees import tree


def cpus(*compatible: str) -> str:
    return "cpus { " + " ".join(f'cpu@{n} {{ compatible = "{name}"; }};' for n, name in enumerate(compatible)) + " };"


def test_cpu_nodes() -> None:
    board = tree('cpus { cpu-map { cluster0 { }; }; cpu@0 { }; core@1 { device_type = "cpu"; }; cache { }; }; cpu@9 { };')
    assert [item.path for item in cpu_nodes(board)] == ["/cpus/cpu@0", "/cpus/core@1"]
    assert cpu_nodes(tree("soc { };")) == ()


@pytest.mark.parametrize(
    ("body", "bits"),
    [
        (cpus("arm,cortex-a53"), 40),
        (cpus("arm,cortex-a57"), 44),
        (cpus("arm,cortex-a57", "arm,cortex-a53"), 40),
        (cpus("arm,cortex-a72", "vendor,unknown"), None),
        (cpus("vendor,unknown"), None),
        (cpus('vendor,core", "arm,cortex-a72'), 44),
        (cpus(), None),
        ("", None),
    ],
    ids=["a53 40", "a57 44", "the least of all", "one unknown", "unknown", "second compatible", "no CPU", "no /cpus"],
)
def test_pa_bits(body: str, bits: int | None) -> None:
    # The recorded boots ran on cortex-a57 (44 bits) and cortex-a53 (40): fixtures/README.md.
    assert pa_bits(tree(body)) == bits

"""The trees that rules show themselves on: the body of the root node, as DTS.

A guest has RAM at 1 GiB, a grant table below it and extended regions above; a host has two gigabytes, a GIC and a UART.
"""

from typing import Final

__all__ = ["GOOD_REGIONS", "IOMMU_ON", "RAM", "XEN_4_20", "guest", "host", "host_with_whole_holes"]

_GIC: Final = (
    'interrupt-controller@3001000 { compatible = "arm,gic-v3"; #interrupt-cells = <3>; interrupt-controller; '
    "phandle = <1>; reg = <0x0 0x3001000 0x0 0x10000>, <0x0 0x3020000 0x0 0x1000000>; "
    "interrupt-parent = <1>; interrupts = <1 9 4>; };"
)
_TIMER: Final = (
    'timer { compatible = "arm,armv8-timer"; interrupt-parent = <1>; interrupts = <1 13 8>, <1 14 8>, <1 11 8>, <1 10 8>; };'
)
_XEN: Final = 'compatible = "xen,xen-4.22", "xen,xen"; interrupts = <1 15 8>; interrupt-parent = <1>;'
RAM: Final = 'memory@40000000 { device_type = "memory"; reg = <0x0 0x40000000 0x0 0x40000000>; };'
_GRANT: Final = "<0x0 0x38000000 0x0 0x1000000>"

XEN_4_20: Final = 'compatible = "xen,xen-4.20", "xen,xen"; interrupts = <1 15 8>; interrupt-parent = <1>;'
IOMMU_ON: Final = ("--iommu", "on")
GOOD_REGIONS: Final = "<0x0 0x80000000 0x0 0x20000000>, <0x1 0x0 0x0 0x40000000>"


def guest(
    regions: str = GOOD_REGIONS,
    more: str = "",
    *,
    grant: str = _GRANT,
    memory: str = RAM,
    node: str = "hypervisor",
    compatible: str = _XEN,
    cells: str = "#address-cells = <2>; #size-cells = <2>;",
) -> str:
    """Return the body of a guest's tree; ``regions`` are further entries of the hypervisor node's ``reg``."""
    reg = ", ".join(item for item in (grant, regions) if item)
    stated = f"reg = {reg};" if reg else ""
    return f"{cells} {memory} {_GIC} {node} {{ {compatible} {stated} }}; {more}"


_CPUS: Final = (
    "cpus { #address-cells = <1>; #size-cells = <0>; "
    'cpu@0 { device_type = "cpu"; compatible = "arm,cortex-a53"; reg = <0x0>; }; };'
)
_HOST_RAM: Final = 'memory@40000000 { device_type = "memory"; reg = <0x0 0x40000000 0x0 0x80000000>; };'
_UART: Final = (
    'serial@9000000 { compatible = "arm,pl011", "arm,primecell"; reg = <0x0 0x9000000 0x0 0x1000>; '
    "interrupt-parent = <1>; interrupts = <0 1 4>; };"
)


def host(
    more: str = "",
    *,
    chosen: str = "",
    memory: str = _HOST_RAM,
    cells: str = "#address-cells = <2>; #size-cells = <2>;",
    uart: str = _UART,
    gic: str = _GIC,
) -> str:
    """Return the body of a host tree whose console is a PL011."""
    stdout = 'stdout-path = "/serial@9000000";'
    inner = f"chosen {{ #address-cells = <2>; #size-cells = <2>; {stdout} {chosen} }};"
    return f"{cells} {_CPUS} {memory} {gic} {_TIMER} {uart} {inner} {more}"


def host_with_whole_holes(more: str = "") -> str:
    """Return the body of a host whose holes all hold whole sections: RAM from 128 MiB to 1 GiB, devices behind it."""
    body = host(more, memory='memory@8000000 { device_type = "memory"; reg = <0x0 0x8000000 0x0 0x38000000>; };')
    for old, new in (("3001000", "43001000"), ("0x3020000", "0x43020000"), ("9000000", "45000000")):
        body = body.replace(old, new)
    return body

"""What a tree says of the hardware: memory, reservations, devices, PCI windows, the hypervisor node.

Knows no Linux and no Xen: where the two read a tree differently, the difference is an `AddressRules` value that
the caller hands in.
"""

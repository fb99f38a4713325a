"""dtanalyze: what Linux on Xen does with the extended regions of a devicetree, known before boot."""

__version__ = "0.1.0"

"""Boots Debian's own Xen and Linux under Debian's QEMU and holds the answers of dtanalyze against them: ``make lab``."""

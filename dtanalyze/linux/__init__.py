"""Mirrors of Linux, named after the files they mirror. Xen is met only as data: the hypervisor node."""

"""Mirrors of Xen, named after the files they mirror. Linux is met only as data: the tree that Xen writes."""

"""Arithmetic of address ranges; knows no devicetree."""

"""The flattened devicetree format: bytes to a tree with raw values; knows no hardware."""

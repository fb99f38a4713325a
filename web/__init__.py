"""The page that needs no install: its parts, and what puts them together."""

"""How the scan of the flat tree ends before its end: an error code, a panic, or never."""

__all__ = ["HangError", "PanicError", "ScanError"]


class ScanError(Exception):
    """A negative return code of early_scan_node."""

    def __init__(self, code: int, node: str, line: str | None = None) -> None:
        super().__init__(node)
        self.code = code
        self.line = line


class HangError(Exception):
    """The walk comes to no end at this node."""


class PanicError(Exception):
    """A panic() inside the scan itself, at a node where there is one."""

    def __init__(self, line: str, node: str | None = None) -> None:
        super().__init__(line)
        self.node = node

"""The version, by semantic versioning: what is pinned are the library's names, the command line and the JSON report."""

__all__ = ["__version__"]

__version__ = "0.1.0"

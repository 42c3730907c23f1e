"""The command line: one module per command, each a thin layer over the library."""

from toylab.cli.dispatch import main

__all__ = ["main"]

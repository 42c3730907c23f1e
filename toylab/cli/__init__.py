"""The command line: one file per command, thin doors to the library."""

from toylab.cli.dispatch import main

__all__ = ["main"]

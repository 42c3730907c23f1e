"""Methods: published training objectives as losses of one example. One file each."""

from toylab.methods.base import AbstractMethod, Example, methods

__all__ = ["AbstractMethod", "Example", "methods"]

"""Diagnostics: what the theory talks about, measured on a run."""

from toylab.diagnostics.gradient_variance import gradient_variance

__all__ = ["gradient_variance"]

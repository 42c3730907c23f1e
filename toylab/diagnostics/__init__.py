"""Diagnostics: what the theory talks about, measured on a run."""

from toylab.diagnostics.gradient_variance import gradient_variance
from toylab.diagnostics.landscape import Landscape, beta_landscape

__all__ = ["Landscape", "beta_landscape", "gradient_variance"]

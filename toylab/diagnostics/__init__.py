"""Diagnostics: what the theory talks about, measured on a run."""

from toylab.diagnostics.gradient_variance import gradient_variance
from toylab.diagnostics.landscape import Landscape, beta_landscape
from toylab.diagnostics.probes import Probes, probe

__all__ = ["Landscape", "Probes", "beta_landscape", "gradient_variance", "probe"]

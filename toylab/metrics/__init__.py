"""Metrics: one number from samples and a reference, each with its floor. NumPy, SciPy and POT; no JAX."""

from toylab.metrics.base import Metric, ModesLike, metrics
from toylab.metrics.score import Floor, Score, floor
from toylab.metrics.wasserstein import SlicedReference, sliced_wasserstein, wasserstein

__all__ = [
    "Floor",
    "Metric",
    "ModesLike",
    "Score",
    "SlicedReference",
    "floor",
    "metrics",
    "sliced_wasserstein",
    "wasserstein",
]

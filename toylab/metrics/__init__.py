"""Metrics: one number from samples and a reference, each with its floor. NumPy, SciPy and POT; no jax."""

from toylab.metrics.base import AbstractMetric, ModesLike, metrics
from toylab.metrics.exact import wasserstein
from toylab.metrics.floor import Floor, Score, floor
from toylab.metrics.sliced import SlicedReference, sliced_wasserstein

__all__ = [
    "AbstractMetric",
    "Floor",
    "ModesLike",
    "Score",
    "SlicedReference",
    "floor",
    "metrics",
    "sliced_wasserstein",
    "wasserstein",
]

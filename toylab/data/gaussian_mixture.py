"""Any mixture of round Gaussians."""

import numpy as np
from numpy.typing import ArrayLike

from toylab.data.base import datasets
from toylab.data.mixture import GaussianMixture, filled_up, isotropic_mixture
from toylab.data.options import array

_LEAST = 16
"""Components of the smallest program: mixtures of up to so many are lanes of one ensemble."""


@datasets.register("gaussian_mixture")
def gaussian_mixture(means: ArrayLike, stds: ArrayLike, weights: ArrayLike | None = None) -> GaussianMixture:
    """Round Gaussians at ``means`` (k, dim), with one or k ``stds``, and weights (equal by default)."""
    means, stds = array("means", means), array("stds", stds)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(f"means must have shape (k, dim), got {means.shape}")
    if stds.shape not in ((), means.shape[:1]):
        raise ValueError(f"stds must be one number or {len(means)} of them, got shape {stds.shape}")
    if stds.min() < 1e-3:
        raise ValueError(f"stds must be positive, got {stds.min():g}; the smallest is 0.001")
    if weights is not None:
        weights = array("weights", weights)
        if weights.shape != means.shape[:1] or weights.min() <= 0:
            raise ValueError(f"weights must be {len(means)} positive numbers, got {weights.tolist()}")
    return filled_up(isotropic_mixture(means, np.broadcast_to(stds, len(means)), weights), _LEAST)

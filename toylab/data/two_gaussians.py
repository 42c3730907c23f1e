"""Two Gaussians: the smallest set on which the coefficient matters."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.mixture import GaussianMixture, isotropic_mixture


@datasets.register("two_gaussians", citation="lu2026variance")
def two_gaussians(separation: float = 8.0, std: float = 0.2) -> GaussianMixture:
    """Two equally likely Gaussians at (-separation/2, 0) and (+separation/2, 0), standard deviation ``std``."""
    if not (np.isfinite(separation) and separation >= 0):
        raise ValueError(f"separation must be finite and not negative, got {separation}")
    return isotropic_mixture(np.array([[-separation / 2, 0.0], [separation / 2, 0.0]]), std)

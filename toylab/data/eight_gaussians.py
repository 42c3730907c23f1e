"""Eight Gaussians on a circle."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.mixture import GaussianMixture, isotropic_mixture


@datasets.register("eight_gaussians", citation="lu2026variance")
def eight_gaussians(radius: float = 3.0, std: float = 0.25) -> GaussianMixture:
    """Eight equally likely Gaussians of standard deviation ``std``, centred on a circle of radius ``radius``."""
    angles = 2 * np.pi * np.arange(8) / 8
    return isotropic_mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std)

"""Eight Gaussians on a circle."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.mixture import GaussianMixture, isotropic_mixture
from toylab.data.options import Number, number


@datasets.register("eight_gaussians", citation="lu2026variance")
def eight_gaussians(radius: Number = 3.0, std: Number = 0.25) -> GaussianMixture:
    """Eight equally likely Gaussians of standard deviation ``std`` on a circle of radius ``radius``."""
    radius, std = number("radius", radius, low=0, high=1e3), number("std", std, low=1e-3, high=1e3)
    angles = 2 * np.pi * np.arange(8) / 8
    return isotropic_mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std)

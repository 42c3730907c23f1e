"""Two Gaussians: the smallest set on which the coefficient matters."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.mixture import GaussianMixture, isotropic_mixture
from toylab.data.options import Number, number


@datasets.register("two_gaussians")
def two_gaussians(separation: Number = 8.0, std: Number = 0.2) -> GaussianMixture:
    """Two equally likely Gaussians at (-+separation/2, 0), each of standard deviation ``std``."""
    separation = number("separation", separation, low=0, high=1e3)
    std = number("std", std, low=1e-3, high=1e3)
    return isotropic_mixture(np.array([[-separation / 2, 0.0], [separation / 2, 0.0]]), std)

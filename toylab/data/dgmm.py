"""Many overlapping Gaussians on a sphere, in any dimension."""

import numpy as np

from toylab.data.base import datasets
from toylab.data.mixture import GaussianMixture, isotropic_mixture
from toylab.data.options import Number, number, whole


@datasets.register("dgmm", citation="lu2026variance")
def dgmm(
    dim: int = 2, num_components: int = 64, std: Number = 0.5, radius: Number = 1.5, seed: int = 0
) -> GaussianMixture:
    """Equally likely round Gaussians with fixed centres on a sphere, drawn once from ``seed``.

    The components overlap (the published 64 have std 0.5 on a sphere of radius 1.5), so they do not count as
    modes.
    """
    dim = whole("dim", dim, 1, 1024)
    num_components = whole("num_components", num_components, 1, 10_000)
    std = number("std", std, low=1e-3, high=1e3)
    radius = number("radius", radius, low=0, high=1e3)
    directions = np.random.default_rng(whole("seed", seed, 0, 2**63)).standard_normal((num_components, dim))
    centres = radius * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return isotropic_mixture(centres, std, distinct=False)

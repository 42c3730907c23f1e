"""Many overlapping Gaussians on a sphere, in any dimension."""

import numpy as np

from toylab.data.base import AbstractDataset, datasets
from toylab.data.mixture import isotropic_mixture
from toylab.data.options import Number, number, truth, whole
from toylab.data.redrawn import RedrawnMixture


@datasets.register("dgmm", citation="lu2026variance")
def dgmm(
    dim: int = 2,
    num_components: int = 64,
    std: Number = 0.5,
    radius: Number = 1.5,
    seed: int = 0,
    redrawn: bool = False,
) -> AbstractDataset:
    """Equally likely round Gaussians with fixed centres on a sphere, drawn once from ``seed``.

    The components overlap (the published 64 have std 0.5 on a sphere of radius 1.5), so they do not count as
    modes. ``redrawn`` draws new centres for every batch, as the published scripts do: see `RedrawnMixture`.
    """
    dim = whole("dim", dim, 1, 1024)
    num_components = whole("num_components", num_components, 1, 10_000)
    std = number("std", std, low=1e-3, high=1e3)
    radius = number("radius", radius, low=0, high=1e3)
    seed = whole("seed", seed, 0, 2**63)
    if truth("redrawn", redrawn):
        if seed:
            raise ValueError(f"seed must be 0 where centres are redrawn, got {seed}")
        return RedrawnMixture(np.asarray(radius), np.asarray(std), dim, num_components)
    directions = np.random.default_rng(seed).standard_normal((num_components, dim))
    centres = radius * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return isotropic_mixture(centres, std, distinct=False)

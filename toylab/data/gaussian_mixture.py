"""Any mixture of round Gaussians."""

from numpy.typing import ArrayLike

from toylab.data.base import datasets
from toylab.data.mixture import GaussianMixture, isotropic_mixture
from toylab.data.options import array


@datasets.register("gaussian_mixture")
def gaussian_mixture(means: ArrayLike, stds: ArrayLike, weights: ArrayLike | None = None) -> GaussianMixture:
    """Round Gaussians at ``means`` (k, dim), with one or k ``stds``, and weights (equal by default)."""
    stds = array("stds", stds)
    weights = None if weights is None else array("weights", weights)
    return isotropic_mixture(array("means", means), float(stds) if stds.ndim == 0 else stds, weights)

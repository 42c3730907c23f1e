"""A user's own points, smoothed by a Gaussian kernel."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from toylab.data.base import AbstractDataset, Moments, datasets
from toylab.data.mixtures import GaussianMixture, filled_size, filled_up, isotropic_mixture
from toylab.options import Number, number
from toylab.options import array as _as_array
from toylab.types import Count, Matrix, Point, Points, PRNGKey, Scalar

_NEIGHBOUR = 8
_MAX_POINTS = 20_000
# Kernels of the smallest compiled program: clouds of up to 512, 2048, 8192 and 32768 points share one each.
_LEAST = 512


class PointCloud(AbstractDataset):
    """The kernel density (1/n) sum_i N(p_i, std^2 I) of given points, for its samples and its oracle alike.

    Args:
        kernels: one Gaussian at every point, padded with components of weight zero (see ``filled_up``).
        num_points: number of points, without the padding.
    """

    kernels: GaussianMixture
    num_points: Count | int

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return self.kernels.dim

    @property
    def std(self) -> float:
        """Bandwidth: standard deviation of the kernel at each point."""
        return float(self.kernels.scales[0, 0])

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` points: one of the given ones, plus kernel noise."""
        key_point, key_noise = jax.random.split(key)
        # Kernels have equal weights: one integer per point replaces the mixture's search in cumulative weights, whose
        # float32 rounding grows with the number of points.
        index = jax.random.randint(key_point, (n,), 0, self.num_points)
        noise = jnp.asarray(self.kernels.scales)[index] * jax.random.normal(key_noise, (n, self.dim))
        return jnp.asarray(self.kernels.means)[index] + noise

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x, over the posterior of the points."""
        return self.kernels.velocity_moments(x, t)

    def moments(self) -> Moments:
        """Mean and covariance of the kernel mixture."""
        return self.kernels.moments()


def bandwidth(points: Float[np.ndarray, "n dim"]) -> float:
    """Half the median distance from a point to its eighth nearest neighbour (or the farthest of fewer points).

    It follows the local density, so that thin and well-separated sets stay thin and separated.

    Raises:
        ValueError: most points coincide, so that the rule gives zero.
    """
    neighbour = min(_NEIGHBOUR, len(points) - 1)
    distances, _ = KDTree(points).query(points, k=neighbour + 1)
    std = float(np.median(np.asarray(distances)[:, -1])) / 2
    if std < 1e-3:
        raise ValueError(f"most points coincide (bandwidth {std:.3g}): give std, at least 0.001")
    return std


def num_kernels(num_points: int) -> int:
    """Components, with padding, of a cloud of ``num_points``; clouds of equal number share compiled programs."""
    return filled_size(num_points, _LEAST)


@datasets.register("points")
def points(array: ArrayLike, std: Number | None = None) -> PointCloud:
    """The points of ``array`` (n, 2), each smoothed by a Gaussian of standard deviation ``std``.

    Without ``std`` it is half the median distance to the eighth nearest neighbour; read it as ``.std``.

    Raises:
        ValueError: not of shape (n, 2) with 2 <= n <= 20,000, an entry that is not finite, a bad ``std``.
    """
    values = _as_array("array", array)
    if values.ndim != 2 or values.shape[1] != 2 or not 2 <= len(values) <= _MAX_POINTS:
        raise ValueError(f"array must have shape (n, 2) with 2 <= n <= {_MAX_POINTS}, got {values.shape}")
    std = bandwidth(values) if std is None else number("std", std, low=1e-3, high=1e3)
    kernels = filled_up(isotropic_mixture(values, std, distinct=False), _LEAST)
    return PointCloud(kernels, np.asarray(len(values), np.int32))

"""The checkerboard: eight dark squares of a 4 by 4 board."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.data.base import AbstractDataset, Moments, datasets
from toylab.options import Number, number
from toylab.types import Matrix, Point, Points, PRNGKey, Scalar

_EDGES = np.arange(-2, 3)
_DARK = np.add.outer(np.arange(4), np.arange(4)) % 2 == 0  # by column and row
# Below this a = 1 - t the density of y varies by less than 1e-3 across an interval. The mode x / a is then
# computed with this a, so that nothing is divided by a = 0 at t = 1.
_FLAT = 1e-3
_DROP = (
    37.0  # the quadrature stops where the density has fallen by e^-37 = 1e-16, the rounding error of float64
)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


class Checkerboard(AbstractDataset):
    """Uniform on the dark squares of a 4 by 4 board of side 4 * side, centred at the origin.

    Given the square, the two coordinates are independent, also given x_t: each is uniform on an interval and observed
    with Gaussian noise. The posterior needs the log masses, means and variances of four intervals per axis.

    Args:
        side: side of a square.
    """

    side: Float[Array | np.ndarray, ""]

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return 2

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` points: a column by x1, then one of its two dark squares."""
        key_1, key_2, key_row = jax.random.split(key, 3)
        x1 = jax.random.uniform(key_1, (n,), minval=-2, maxval=2)
        lower = jax.random.bernoulli(key_row, shape=(n,))
        x2 = jax.random.uniform(key_2, (n,)) - 2 * lower + jnp.floor(x1) % 2
        return self.side * jnp.stack([x1, x2], axis=-1)

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x, over the posterior of the squares."""
        edges = self.side.astype(x.dtype) * _EDGES.astype(x.dtype)
        over_intervals = jax.vmap(interval_moments, in_axes=(None, None, 0, 0))
        log_mass, v_axis, variance = jax.vmap(over_intervals, in_axes=(0, None, None, None))(
            x, t, edges[:-1], edges[1:]
        )
        # Far outside the board the log masses of both axes are large negative numbers. Subtract the largest of each
        # axis before the sum, so that float32 keeps the differences.
        log_mass = log_mass - jnp.max(log_mass, axis=1, keepdims=True)
        log_joint = jnp.where(_DARK, log_mass[0][:, None] + log_mass[1][None, :], -jnp.inf)
        posterior = jax.nn.softmax(log_joint, axis=(0, 1))
        marginals = jnp.stack([posterior.sum(1), posterior.sum(0)])
        v = jnp.sum(marginals * v_axis, axis=1)
        deviations = v_axis - v[:, None]
        diagonal = jnp.sum(marginals * (variance + deviations**2), axis=1)
        cross = deviations[0] @ posterior @ deviations[1]
        return v, jnp.diag(diagonal) + cross * (1 - jnp.eye(2, dtype=x.dtype))

    def moments(self) -> Moments:
        """Mean and covariance of the board: x1 and x2 are uniform, with a covariance of side^2 / 4."""
        covariance = np.array([[4 / 3, 1 / 4], [1 / 4, 4 / 3]])
        return Moments(np.zeros(2), float(self.side) ** 2 * covariance)


def interval_moments(x: Scalar, t: Scalar, low: Scalar, high: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    r"""Log mass of y uniform on [low, high] at x = a y + t eps, and mean and variance of eps - y given x.

    The density of y is proportional to exp(-eps(y)^2 / 2) with eps(y) = (x - a y) / t. Around its mode y* on
    the interval, with delta = y - y* and z = a delta / t,

        eps(y)^2 / 2 = eps*^2 / 2 - eps* z + z^2 / 2,    eps - y = eps* - y* - delta / t,

    so that no large numbers are subtracted at any t or x. Gauss-Legendre quadrature covers the part of the interval
    where the density has not yet fallen by e^-37. Closed forms in erf lose all digits in the tails and at a = 0.
    """
    a = 1 - t
    a_safe = jnp.maximum(a, _FLAT)
    free_mode = x / a_safe
    mode = jnp.clip(free_mode, low, high)
    inside = (low < free_mode) & (free_mode < high) & (a >= _FLAT)
    eps_mode = jnp.where(inside, 0.0, (x - a * mode) / t)
    steepness = jnp.abs(eps_mode)
    reach = 2 * _DROP / (steepness + jnp.sqrt(steepness**2 + 2 * _DROP)) * t / a_safe
    left, right = jnp.maximum(low - mode, -reach), jnp.minimum(high - mode, reach)
    half = (right - left) / 2
    delta = (left + right) / 2 + half * _NODES.astype(x.dtype)
    z = a * delta / t
    log_density = np.log(_WEIGHTS).astype(x.dtype) + eps_mode * z - z**2 / 2
    posterior = jax.nn.softmax(log_density)
    mean_delta = posterior @ delta
    log_mass = jax.nn.logsumexp(log_density) + jnp.log(half) - eps_mode**2 / 2
    return log_mass, eps_mode - mode - mean_delta / t, posterior @ ((delta - mean_delta) / t) ** 2


@datasets.register("checkerboard", citation="lu2026variance")
def checkerboard(side: Number = 2.0) -> Checkerboard:
    """Uniform on the eight dark squares, of the given ``side``, of a 4 by 4 board centred at the origin."""
    return Checkerboard(np.asarray(number("side", side, low=0.05, high=100)))

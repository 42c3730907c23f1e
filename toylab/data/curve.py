"""A curve in the plane with round Gaussian noise around it."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from toylab.data.base import AbstractDataset, Moments
from toylab.data.mixture import GaussianMixture, isotropic_mixture
from toylab.types import Matrix, Point, Points, PRNGKey, Scalar

_ORDER = 16  # Gauss-Legendre nodes in one panel
_SPACING = 0.7  # largest mean distance of neighbouring nodes, in units of the noise

Parameters = Float[Array | np.ndarray, " n"]
CurvePoints = Float[Array | np.ndarray, "branches n 2"]


class Curve(AbstractDataset):
    r"""x0 = c_b(s) + noise N(0, I) with a uniform branch b and a parameter s of density q(s).

    Its density is the integral of N(x; c_b(s), noise^2 I) q(s) ds: a Gaussian mixture at the nodes of a
    quadrature in s. The sampler draws the continuous s, not the nodes.

    Args:
        nodes: the mixture at the quadrature nodes.
        noise: standard deviation of the noise around the curve.
        point: s of shape (n,) -> points of every branch, (branches, n, 2); for numpy and jax arrays alike.
        quantile: uniform numbers in [0, 1] -> s.
    """

    nodes: GaussianMixture
    noise: Float[Array | np.ndarray, ""]
    point: Callable[[Parameters], CurvePoints] = eqx.field(static=True)
    quantile: Callable[[Parameters], Parameters] = eqx.field(static=True)

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return 2

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` points: a branch, a place on it, then noise."""
        key_branch, key_s, key_noise = jax.random.split(key, 3)
        branches = self.point(self.quantile(jax.random.uniform(key_s, (n,))))
        branch = jax.random.randint(key_branch, (n,), 0, len(branches))
        return branches[branch, jnp.arange(n)] + self.noise * jax.random.normal(key_noise, (n, 2))

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x, by quadrature along the curve."""
        return self.nodes.velocity_moments(x, t)

    def moments(self) -> Moments:
        """Mean and covariance, by the same quadrature."""
        return self.nodes.moments()


def panel_nodes(
    low: float, high: float, num_panels: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Nodes and weights of composite Gauss-Legendre quadrature on [low, high], exact at both ends."""
    unit_nodes, unit_weights = np.polynomial.legendre.leggauss(_ORDER)
    edges = np.linspace(low, high, num_panels + 1)
    centres, half = (edges[1:] + edges[:-1]) / 2, (high - low) / (2 * num_panels)
    return (centres[:, None] + half * unit_nodes).ravel(), np.tile(half * unit_weights, num_panels)


def noisy_curve(
    point: Callable[[Parameters], CurvePoints],
    quantile: Callable[[Parameters], Parameters],
    density: Callable[[Parameters], Parameters],
    interval: tuple[float, float],
    noise: float,
    refine: int = 1,
) -> Curve:
    """The curve ``point`` on ``interval``, with noise of standard deviation ``noise``.

    Args:
        point: s -> points of every branch.
        quantile: inverse of the distribution function of s.
        density: density of s, up to a constant; must agree with ``quantile``.
        interval: the range of s.
        noise: standard deviation, positive.
        refine: multiplies the number of panels, to check that the quadrature has converged.
    """
    fine = np.linspace(*interval, 4097)
    # The fastest place of the curve sets the spacing, so that nodes stay closer than the noise everywhere.
    steps = np.linalg.norm(np.diff(point(fine), axis=1), axis=-1)
    length = steps.max() * (len(fine) - 1)
    num_panels = refine * int(np.ceil(length / (_ORDER * _SPACING * noise)))
    s, weights = panel_nodes(*interval, num_panels)
    means = np.asarray(point(s))
    weights = np.tile(weights * density(s), len(means))
    nodes = isotropic_mixture(means.reshape(-1, 2), noise, weights, distinct=False)
    return Curve(nodes, np.asarray(noise), point, quantile)

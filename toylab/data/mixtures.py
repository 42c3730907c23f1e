"""Gaussian mixtures, noisy curves, and the small built-in sets that are made of them.

The first half is the law: `GaussianMixture`, whose posterior velocity is closed, and `Curve`, a curve with Gaussian
noise, which is such a mixture at the nodes of a quadrature. The second half is the sets, each with its numbers.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from toylab.data.base import AbstractDataset, Modes, Moments, datasets
from toylab.data.redrawn import RedrawnMixture
from toylab.options import Number, array, number, truth, whole
from toylab.types import AnyArray, Matrix, Point, Points, PRNGKey, Scalar

# Log weight of a component that only pads an array: exp(-1e30) is exactly 0, and no product of it is NaN as with -inf.
_NO_WEIGHT = -1e30
# Components of the smallest compiled program: mixtures of up to this many can be lanes of one ensemble.
_LEAST = 16
# Gauss-Legendre nodes in one panel, and the largest mean distance of neighbouring nodes in units of the noise. With
# these, twice as many nodes change no velocity by 1e-5 (tests).
_ORDER = 16
_SPACING = 0.7

Parameters = Float[Array | np.ndarray, " n"]
CurvePoints = Float[Array | np.ndarray, "branches n 2"]


class GaussianMixture(AbstractDataset):
    r"""sum_k pi_k N(mu_k, S_k) with S_k = R_k diag(s_k^2) R_k^T (R_k = I where ``bases`` is None).

    Given x_t = x and component k, v_cond is Gaussian. With a = 1 - t and S_t = a^2 S_k + t^2 I,

        v_k = -mu_k + (t I - a S_k) S_t^{-1} (x - a mu_k),    Cov[v_cond | x, k] = S_k S_t^{-1},

    which never divides by t. The mixture follows by the laws of total expectation and covariance.

    Args:
        log_weights: log pi_k, normalised.
        means: mu_k.
        scales: s_k, standard deviations along the axes of the basis, positive.
        bases: rotations R_k whose columns are those axes, or None for the coordinate axes.
        distinct: whether the components are modes that one can count (False for nodes of a quadrature).
    """

    log_weights: Float[AnyArray, " k"]
    means: Float[AnyArray, "k dim"]
    scales: Float[AnyArray, "k dim"]
    bases: Float[AnyArray, "k dim dim"] | None = None
    distinct: bool = eqx.field(default=True, static=True)

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return self.means.shape[-1]

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` points: a component by its weight, then Gaussian noise along that component's axes."""
        key_component, key_noise = jax.random.split(key)
        # One uniform number per point; jax.random.categorical (Gumbel) draws one per point and component. The last
        # cumulative weight is left out, so that its rounding cannot select a component beyond the last.
        cumulative = jnp.cumsum(jnp.exp(jnp.asarray(self.log_weights)))[:-1]
        method = "compare_all" if len(cumulative) < 256 else "scan"
        component = jnp.searchsorted(cumulative, jax.random.uniform(key_component, (n,)), method=method)
        noise = jnp.asarray(self.scales)[component] * jax.random.normal(key_noise, (n, self.dim))
        if self.bases is not None:
            noise = jnp.einsum("nij,nj->ni", jnp.asarray(self.bases)[component], noise)
        return jnp.asarray(self.means)[component] + noise

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x, over the posterior of the components."""
        # The constants are float64 on the host, where logs and weights are computed once. Cast to the precision of
        # ``x``, so that the caller decides between float32 (training) and float64 (oracle under x64).
        means, variances = self.means.astype(x.dtype), jnp.square(self.scales.astype(x.dtype))
        a = 1 - t
        offset = self._to_basis(x - a * means)
        variances_t = a**2 * variances + t**2
        log_posterior = self.log_weights.astype(x.dtype) - 0.5 * jnp.sum(
            offset**2 / variances_t + jnp.log(variances_t), axis=-1
        )
        posterior = jax.nn.softmax(log_posterior)
        velocities = -means + self._from_basis((t - a * variances) / variances_t * offset)
        v = posterior @ velocities
        deviations = velocities - v
        between = jnp.einsum("k,ki,kj->ij", posterior, deviations, deviations)
        return v, self._average_covariance(posterior, variances / variances_t) + between

    def moments(self) -> Moments:
        """Mean and covariance of the mixture."""
        weights = np.exp(np.asarray(self.log_weights, np.float64))
        means = np.asarray(self.means, np.float64)
        mean = weights @ means
        between = np.einsum("k,ki,kj->ij", weights, means - mean, means - mean)
        variances = np.asarray(self.scales, np.float64) ** 2
        bases = np.broadcast_to(np.eye(self.dim), (len(means), self.dim, self.dim))
        if self.bases is not None:
            bases = np.asarray(self.bases, np.float64)
        within = np.einsum("k,kia,ka,kja->ij", weights, bases, variances, bases)
        return Moments(mean, within + between)

    def modes(self) -> Modes | None:
        """The components, where they are distinct modes."""
        if not self.distinct:
            return None
        used = np.asarray(self.log_weights) > _NO_WEIGHT
        stds = np.sqrt(np.mean(np.asarray(self.scales)[used] ** 2, axis=-1))
        return Modes(np.asarray(self.means)[used], stds, np.exp(np.asarray(self.log_weights)[used]))

    def _to_basis(self, vectors: Float[AnyArray, "k dim"]) -> Float[AnyArray, "k dim"]:
        if self.bases is None:
            return vectors
        return jnp.einsum("kji,kj->ki", self.bases.astype(vectors.dtype), vectors)

    def _from_basis(self, vectors: Float[AnyArray, "k dim"]) -> Float[AnyArray, "k dim"]:
        if self.bases is None:
            return vectors
        return jnp.einsum("kij,kj->ki", self.bases.astype(vectors.dtype), vectors)

    def _average_covariance(
        self, posterior: Float[AnyArray, " k"], diagonals: Float[AnyArray, "k dim"]
    ) -> Matrix:
        if self.bases is None:
            return jnp.diag(posterior @ diagonals)
        bases = self.bases.astype(diagonals.dtype)
        return jnp.einsum("k,kia,ka,kja->ij", posterior, bases, diagonals, bases)


def isotropic_mixture(
    means: Float[np.ndarray, "k dim"],
    std: float | Float[np.ndarray, " k"],
    weights: Float[np.ndarray, " k"] | None = None,
    distinct: bool = True,
) -> GaussianMixture:
    """A mixture of round Gaussians with the given standard deviation(s) and weights (equal by default).

    Raises:
        ValueError: shapes that do not agree, a non-finite mean, a std or weight that is not positive.
    """
    means = np.asarray(means, np.float64)
    if means.ndim != 2 or len(means) == 0:
        raise ValueError(f"means must have shape (k, dim) with k >= 1, got {means.shape}")
    stds = (
        np.broadcast_to(np.asarray(std, np.float64), (len(means),))
        if np.ndim(std) == 0
        else np.asarray(std, float)
    )
    weights = np.full(len(means), 1 / len(means)) if weights is None else np.asarray(weights, np.float64)
    if stds.shape != (len(means),) or weights.shape != (len(means),):
        raise ValueError(
            f"{len(means)} means need as many stds and weights, got {stds.shape} and {weights.shape}"
        )
    if not np.all(np.isfinite(means)):
        raise ValueError("means must be finite")
    if not (np.all(np.isfinite(stds)) and np.all(stds > 0)):
        raise ValueError(f"std must be positive and finite, got {std}")
    if not (np.all(np.isfinite(weights)) and np.all(weights > 0)):
        raise ValueError(f"weights must be positive and finite, got {weights.tolist()}")
    scales = np.repeat(stds[:, None], means.shape[1], axis=1)
    return GaussianMixture(np.log(weights / weights.sum()), means, scales, distinct=distinct)


def filled_size(count: int, least: int) -> int:
    """The smallest number out of ``least``, 4 ``least``, 16 ``least``, ... that is at least ``count``."""
    return least if count <= least else filled_size(count, 4 * least)


def filled_up(mixture: GaussianMixture, least: int) -> GaussianMixture:
    """The same distribution with `filled_size` components; the added ones have weight zero.

    Every number of components needs a compiled program of its own. Padding keeps the number of programs small.
    """
    spare = filled_size(len(mixture.means), least) - len(mixture.means)
    # Copies of the last component, not zeros: float32 rounding of the cumulative weights selects a padded component
    # about once in ten million draws, and its points must then follow the same distribution.
    return GaussianMixture(
        np.pad(mixture.log_weights, (0, spare), constant_values=_NO_WEIGHT),
        np.pad(mixture.means, [(0, spare), (0, 0)], mode="edge"),
        np.pad(mixture.scales, [(0, spare), (0, 0)], mode="edge"),
        distinct=mixture.distinct,
    )


class Curve(AbstractDataset):
    r"""x0 = c_b(s) + noise N(0, I) with a uniform branch b and a parameter s of density q(s).

    Its density is the integral of N(x; c_b(s), noise^2 I) q(s) ds, computed as a Gaussian mixture at the nodes of a
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
    """Nodes and weights of composite Gauss-Legendre quadrature on [low, high]."""
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
    # The largest speed |c'(s)| sets the spacing, so that neighbouring nodes are closer than the noise everywhere.
    steps = np.linalg.norm(np.diff(point(fine), axis=1), axis=-1)
    length = steps.max() * (len(fine) - 1)
    num_panels = refine * int(np.ceil(length / (_ORDER * _SPACING * noise)))
    s, weights = panel_nodes(*interval, num_panels)
    means = np.asarray(point(s))
    weights = np.tile(weights * density(s), len(means))
    nodes = isotropic_mixture(means.reshape(-1, 2), noise, weights, distinct=False)
    return Curve(nodes, np.asarray(noise), point, quantile)


# The built-in sets: each is a mixture or a curve with its numbers.


@datasets.register("two_gaussians")
def two_gaussians(separation: Number = 8.0, std: Number = 0.2) -> GaussianMixture:
    """Two equally likely Gaussians at (-+separation/2, 0), each of standard deviation ``std``."""
    separation = number("separation", separation, low=0, high=1e3)
    std = number("std", std, low=1e-3, high=1e3)
    return isotropic_mixture(np.array([[-separation / 2, 0.0], [separation / 2, 0.0]]), std)


@datasets.register("eight_gaussians", citation="lu2026variance")
def eight_gaussians(radius: Number = 3.0, std: Number = 0.25) -> GaussianMixture:
    """Eight equally likely Gaussians of standard deviation ``std`` on a circle of radius ``radius``."""
    radius, std = number("radius", radius, low=0, high=1e3), number("std", std, low=1e-3, high=1e3)
    angles = 2 * np.pi * np.arange(8) / 8
    return isotropic_mixture(radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), std)


@datasets.register("gaussian_mixture")
def gaussian_mixture(means: ArrayLike, stds: ArrayLike, weights: ArrayLike | None = None) -> GaussianMixture:
    """Round Gaussians at ``means`` (k, dim), with one or k ``stds``, and weights (equal by default)."""
    means, stds = array("means", means), array("stds", stds)
    if means.ndim != 2 or 0 in means.shape:
        raise ValueError(f"means must have shape (k, dim), got {means.shape}")
    if stds.shape not in ((), means.shape[:1]):
        raise ValueError(f"stds must be one number or {len(means)} of them, got shape {stds.shape}")
    if stds.min() < 1e-3:
        raise ValueError(f"stds must be positive, got {stds.min():g}; the smallest is 0.001")
    if weights is not None:
        weights = array("weights", weights)
        if weights.shape != means.shape[:1] or weights.min() <= 0:
            raise ValueError(f"weights must be {len(means)} positive numbers, got {weights.tolist()}")
    return filled_up(isotropic_mixture(means, np.broadcast_to(stds, len(means)), weights), _LEAST)


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

    The components overlap (the published 64 have std 0.5 on a sphere of radius 1.5), so they do not count as modes.
    ``redrawn`` draws new centres for every batch, as the published scripts do: see `RedrawnMixture`.
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


def _moons_point(s: Parameters) -> CurvePoints:
    xp = s.__array_namespace__()
    upper = xp.stack([xp.cos(s), xp.sin(s)], axis=-1)
    lower = xp.stack([1 - xp.cos(s), 0.5 - xp.sin(s)], axis=-1)
    return 2 * xp.stack([upper, lower])


def _moons_quantile(uniform: Parameters) -> Parameters:
    return np.pi * uniform


@datasets.register("two_moons", citation="lu2026variance")
def two_moons(noise: Number = 0.08) -> Curve:
    """Two half circles with ``noise`` around them, all times two.

    x0 = 2 ((cos s, sin s) or (1 - cos s, 0.5 - sin s)) + 2 noise N(0, I) with s uniform on (0, pi).
    """
    noise = number("noise", noise, low=0.01, high=10)
    return noisy_curve(_moons_point, _moons_quantile, np.ones_like, (0.0, np.pi), 2 * noise)


def _spirals_point(s: Parameters) -> CurvePoints:
    xp = s.__array_namespace__()
    arm = xp.stack([s * xp.cos(s), s * xp.sin(s)], axis=-1) / 5
    return xp.stack([arm, -arm])


def _spirals_quantile(uniform: Parameters) -> Parameters:
    return 3 * np.pi * uniform.__array_namespace__().sqrt(uniform)


def _spirals_density(s: Parameters) -> Parameters:
    return s


@datasets.register("two_spirals", citation="lu2026variance")
def two_spirals(noise: Number = 0.08) -> Curve:
    """Two spirals of one and a half turns with ``noise`` around them.

    x0 = +-(s cos s, s sin s) / 5 + noise N(0, I) with s = 3 pi sqrt(U): the density of points is almost uniform along
    the arms, whose arc length grows as s^2.
    """
    noise = number("noise", noise, low=0.01, high=10)
    return noisy_curve(_spirals_point, _spirals_quantile, _spirals_density, (0.0, 3 * np.pi), noise)


def _roll_point(s: Parameters) -> CurvePoints:
    xp = s.__array_namespace__()
    return xp.stack([s * xp.cos(s), s * xp.sin(s)], axis=-1)[None] / 8


def _roll_quantile(uniform: Parameters) -> Parameters:
    return 1.5 * np.pi * (1 + 2 * uniform)


@datasets.register("swiss_roll", citation="lu2026variance")
def swiss_roll(noise: Number = 0.08) -> Curve:
    """A spiral of one and a half turns with ``noise`` around it.

    x0 = (s cos s, s sin s) / 8 + noise N(0, I) with s uniform on (1.5 pi, 4.5 pi).
    """
    noise = number("noise", noise, low=0.01, high=10)
    return noisy_curve(_roll_point, _roll_quantile, np.ones_like, (1.5 * np.pi, 4.5 * np.pi), noise)

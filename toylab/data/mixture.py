"""Gaussian mixtures: the core of every oracle but the checkerboard's."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from toylab.data.base import AbstractDataset, Modes, Moments
from toylab.types import AnyArray, Matrix, Point, Points, PRNGKey, Scalar

_NO_WEIGHT = -1e30
"""Log weight of a component that only fills up: its posterior is exactly 0, and nothing is infinite."""


class GaussianMixture(AbstractDataset):
    r"""sum_k pi_k N(mu_k, S_k) with S_k = R_k diag(s_k^2) R_k^T (R_k = I where ``bases`` is None).

    Given x_t = x and component k v_cond is Gaussian. With a = 1 - t and S_t = a^2 S_k + t^2 I,

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
        # One uniform number per point; a Gumbel draw would need as many as there are components.
        cumulative = jnp.cumsum(jnp.exp(jnp.asarray(self.log_weights)))[:-1]
        method = "compare_all" if len(cumulative) < 256 else "scan"
        component = jnp.searchsorted(cumulative, jax.random.uniform(key_component, (n,)), method=method)
        noise = jnp.asarray(self.scales)[component] * jax.random.normal(key_noise, (n, self.dim))
        if self.bases is not None:
            noise = jnp.einsum("nij,nj->ni", jnp.asarray(self.bases)[component], noise)
        return jnp.asarray(self.means)[component] + noise

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x, over the posterior of the components."""
        # The constants are float64 on the host: cast, so that the caller's precision decides.
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
    """The smallest of ``least``, 4 ``least``, 16 ``least``, ... that holds ``count``."""
    return least if count <= least else filled_size(count, 4 * least)


def filled_up(mixture: GaussianMixture, least: int) -> GaussianMixture:
    """The same law in `filled_size` components, the further ones of weight zero.

    The number of components shapes a compiled program: laws of a few sizes, not of any, are compiled for.
    """
    spare = filled_size(len(mixture.means), least) - len(mixture.means)
    # Copies of the last one: rounding in a sampler may hit the first of them once in ten million draws.
    return GaussianMixture(
        np.pad(mixture.log_weights, (0, spare), constant_values=_NO_WEIGHT),
        np.pad(mixture.means, [(0, spare), (0, 0)], mode="edge"),
        np.pad(mixture.scales, [(0, spare), (0, 0)], mode="edge"),
        distinct=mixture.distinct,
    )

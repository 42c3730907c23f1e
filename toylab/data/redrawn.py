"""Gaussians whose centres are drawn anew for every batch, and the exact velocity of the distribution of one row."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from toylab.data.base import AbstractDataset, Moments, Place
from toylab.types import AnyArray, Labels, Matrix, Point, Points, PRNGKey, Scalar

# Terms of the continued fraction of `bessel_ratio`: its error is 1e-14 up to concentrations of 30, 1e-6 everywhere.
FRACTION_TERMS = 32


class RedrawnMixture(AbstractDataset):
    r"""R s + std z, s uniform on the unit sphere of R^dim, z Gaussian; the rows of one batch share few centres R s.

    The expected loss is a mean over rows, so that it depends on the distribution of one row only. That distribution is
    fixed, and no mixture of ``num_components``. The shared centres change the noise of a batch. ``draw`` gives
    independent points, ``draw_labelled`` a batch.

    Given x_t = x the direction s has the von Mises-Fisher distribution of concentration k = a R |x| / S, where
    a = 1 - t and S = a^2 std^2 + t^2. With q = E[s.x] / (k |x|), see `bessel_ratio`, and q' the same in dim + 2,

        v = ((t - a std^2) x - t R E[s | x]) / S,    Sigma = std^2 / S I + (t R / S)^2 Cov[s | x],
        E[s | x] = q a R x / S,    Cov[s | x] = q I + q (q' - q) (a R / S)^2 x x^T.

    Source: Mardia and Jupp 2000 (mardia2000directional) for the moments of that distribution.

    Args:
        radius: R, not negative.
        std: standard deviation of the noise around a centre, positive.
        size: dim.
        num_components: number of centres of a batch.
    """

    radius: Float[AnyArray, ""]
    std: Float[AnyArray, ""]
    size: int = eqx.field(static=True)
    num_components: int = eqx.field(static=True)

    @property
    def dim(self) -> int:
        """Dimension of a data point."""
        return self.size

    def draw(self, key: PRNGKey, n: int) -> Points:
        """``n`` independent points, each around a centre of its own."""
        key_centres, key_noise = jax.random.split(key)
        return self._around(self._centres(key_centres, n), key_noise)

    def draw_labelled(self, key: PRNGKey, n: int, place: Place | None = None) -> tuple[Points, Labels | None]:
        """The ``n`` rows of a batch, around ``num_components`` centres that are drawn for it; no classes."""
        key_centres, key_rows, key_noise = jax.random.split(key, 3)
        row = jax.random.randint(key_rows, (n,), 0, self.num_components)
        return self._around(self._centres(key_centres, self.num_components)[row], key_noise), None

    def velocity_moments(self, x: Point, t: Scalar) -> tuple[Point, Matrix]:
        """Mean and covariance of v_cond given x_t = x, over the sphere of centres."""
        radius, variance = self.radius.astype(x.dtype), self.std.astype(x.dtype) ** 2
        a = 1 - t
        total = a**2 * variance + t**2
        pull = jnp.asarray(a * radius / total * x)  # concentration times direction
        ratio, next_ratio = (bessel_ratio(dim, pull @ pull) for dim in (self.size, self.size + 2))
        v = ((t - a * variance) * x - t * radius * ratio * pull) / total
        spread = ratio * jnp.eye(self.size, dtype=x.dtype)
        spread += ratio * (next_ratio - ratio) * jnp.outer(pull, pull)
        within = variance / total * jnp.eye(self.size, dtype=x.dtype)
        return v, within + (t * radius / total) ** 2 * spread

    def moments(self) -> Moments:
        """Mean 0 and covariance (R^2 / dim + std^2) I."""
        scale = float(self.radius) ** 2 / self.size + float(self.std) ** 2
        return Moments(np.zeros(self.size), scale * np.eye(self.size))

    def _centres(self, key: PRNGKey, count: int) -> Points:
        directions = jax.random.normal(key, (count, self.size))
        return self.radius * directions / jnp.linalg.norm(directions, axis=1, keepdims=True)

    def _around(self, centres: Points, key: PRNGKey) -> Points:
        return centres + self.std * jax.random.normal(key, centres.shape, centres.dtype)


def bessel_ratio(dim: int, squared: Scalar) -> Scalar:
    r"""I_{dim/2}(k) / (k I_{dim/2 - 1}(k)) as a smooth function of k^2, by its continued fraction

        q_d = 1 / (d + k^2 q_{d+2}),

    started at its last term, where q_d is close to 1 / (c + sqrt(c (c + 1) + k^2)) with c = (d - 1) / 2. A quotient of
    Bessel functions would overflow at large k and be 0 / 0 at k = 0.

    Args:
        dim: d, at least 1.
        squared: k^2, not negative.

    Source: Amos 1974 (amos1974computation); of the values between its bounds the one that is exact to order 1 / k^2.

    >>> round(float(bessel_ratio(3, jnp.zeros(()))), 6)
    0.333333
    """
    last = (dim - 1) / 2 + FRACTION_TERMS
    ratio = 1 / (last + jnp.sqrt(last * (last + 1) + squared))
    for term in reversed(range(FRACTION_TERMS)):
        ratio = 1 / (dim + 2 * term + squared * ratio)
    return ratio

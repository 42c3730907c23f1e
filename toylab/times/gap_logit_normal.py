"""A logit-normal gap, and an earlier time that leaves room for it."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import PRNGKey


@time_samplers.register("gap_logit_normal", citation="zhou2025terminal")
class GapLogitNormal(AbstractTimeSampler):
    """g = sigmoid(N(mean_gap, std_gap^2)); r = sigmoid(N(mean_r, std_r^2)) given that r <= 1 - g; t = r + g.

    Args:
        mean_gap: of the gap, before the sigmoid.
        std_gap: likewise.
        mean_r: of the earlier time, before the condition.
        std_r: likewise.

    Raises:
        ValueError: a standard deviation that is not positive.

    Source: Zhou et al. 2025, arXiv:2511.19797.
    """

    mean_gap: float = eqx.field(default=-0.8, converter=float)
    std_gap: float = eqx.field(default=1.0, converter=float)
    mean_r: float = eqx.field(default=-0.4, converter=float)
    std_r: float = eqx.field(default=1.0, converter=float)

    def __check_init__(self):
        if not (self.std_gap > 0 and self.std_r > 0):
            raise ValueError(f"gap_logit_normal needs std > 0, got {self.std_gap} and {self.std_r}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` pairs; the condition is exact, by the inverse of the distribution function."""
        key_gap, key_r = jax.random.split(key)
        logit_gap = self.mean_gap + self.std_gap * jax.random.normal(key_gap, (n,))
        gap = jax.nn.sigmoid(logit_gap)
        # logit(1 - g) = -logit(g): no digits are lost where g is close to 1.
        room = ndtr((-logit_gap - self.mean_r) / self.std_r)
        tiny = jnp.finfo(room.dtype).tiny
        quantile = jnp.maximum(room * jax.random.uniform(key_r, (n,)), tiny)
        r = jnp.minimum(jax.nn.sigmoid(self.mean_r + self.std_r * ndtri(quantile)), 1 - gap)
        return r, jnp.minimum(r + gap, 1.0)

"""Two sorted uniform times."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import MIN_TIME, AnyArray, PRNGKey


@time_samplers.register("uniform", citation="lu2026variance")
class Uniform(AbstractTimeSampler):
    """r <= t are two independent uniform times on [low, high], sorted."""

    low: float = eqx.field(default=MIN_TIME, converter=float)
    high: float = eqx.field(default=1 - MIN_TIME, converter=float)

    def __check_init__(self):
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"uniform times need 0 <= low < high <= 1, got low={self.low}, high={self.high}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` sorted pairs."""
        times = self._times(key, (n, 2))
        return jnp.min(times, axis=1), jnp.max(times, axis=1)

    def draw_single(self, key: PRNGKey, n: int) -> Float[AnyArray, " n"]:
        """``n`` uniform times: one draw each, not the larger of two."""
        return self._times(key, (n,))

    def _times(self, key: PRNGKey, shape: tuple[int, ...]) -> Float[AnyArray, "..."]:
        return self.low + (self.high - self.low) * jax.random.uniform(key, shape)

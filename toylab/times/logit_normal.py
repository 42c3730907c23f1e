"""Two sorted logit-normal times, as in image training."""

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.paths import MIN_TIME
from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import PRNGKey


@time_samplers.register("logit_normal", citation="geng2025meanflow")
class LogitNormal(AbstractTimeSampler):
    """r <= t are two independent draws of sigmoid(N(mean, std^2)), sorted and kept in [1e-4, 1 - 1e-4]."""

    mean: float = eqx.field(default=-0.4, converter=float)
    std: float = eqx.field(default=1.0, converter=float)

    def __check_init__(self):
        if not self.std > 0:
            raise ValueError(f"logit_normal needs std > 0, got {self.std}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` sorted pairs."""
        times = jax.nn.sigmoid(self.mean + self.std * jax.random.normal(key, (n, 2)))
        times = jnp.clip(times, MIN_TIME, 1 - MIN_TIME)
        return jnp.min(times, axis=1), jnp.max(times, axis=1)

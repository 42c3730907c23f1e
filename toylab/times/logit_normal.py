"""Two sorted logit-normal times, as in image training."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Float

from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import MIN_TIME, AnyArray, PRNGKey


@time_samplers.register("logit_normal", citation="esser2024scaling")
class LogitNormal(AbstractTimeSampler):
    """r <= t are two independent draws of sigmoid(N(mean, std^2)), sorted and kept in [1e-4, 1 - 1e-4].

    Source: Esser et al. 2024 (one such time); Geng et al. 2025, arXiv:2505.13447 (two, sorted).
    """

    mean: float = eqx.field(default=-0.4, converter=float)
    std: float = eqx.field(default=1.0, converter=float)

    def __check_init__(self):
        if not self.std > 0:
            raise ValueError(f"logit_normal needs std > 0, got {self.std}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` sorted pairs."""
        times = self._times(key, (n, 2))
        return jnp.min(times, axis=1), jnp.max(times, axis=1)

    def draw_single(self, key: PRNGKey, n: int) -> Float[AnyArray, " n"]:
        """``n`` logit-normal times: one draw each, not the larger of two."""
        return self._times(key, (n,))

    def _times(self, key: PRNGKey, shape: tuple[int, ...]) -> Float[AnyArray, "..."]:
        times = jax.nn.sigmoid(self.mean + self.std * jax.random.normal(key, shape))
        return jnp.clip(times, MIN_TIME, 1 - MIN_TIME)

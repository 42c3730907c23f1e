"""Later times near both ends, for pairs whose path is almost straight."""

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import MIN_TIME, PRNGKey


@time_samplers.register("u_shaped", citation="zhang2025remeanflow")
class UShaped(AbstractTimeSampler):
    """t of density proportional to e^(rate t) + e^(rate (1 - t)), r = max(t - gap, 0) with a logit-normal gap.

    t is held in [1e-4, max_t]. Where t > 0.8 and r < 0.4, r becomes 0: the one step of the sampler.

    Args:
        rate: how steep the two ends are, above 0.
        max_t: largest t. The published 80/81 leaves the last one to extrapolation.
        mean_gap: of the gap, before the sigmoid.
        std_gap: likewise.

    Raises:
        ValueError: a rate or a standard deviation that is not positive, or a max_t outside (1e-4, 1].

    Source: Zhang et al. 2025, arXiv:2511.23342; the density is that of Lee, Lin and Fanti 2024 (lee2024improving).
    """

    rate: float = eqx.field(default=4.0, converter=float)
    max_t: float = eqx.field(default=80 / 81, converter=float)
    mean_gap: float = eqx.field(default=-0.8, converter=float)
    std_gap: float = eqx.field(default=1.0, converter=float)

    def __check_init__(self):
        if not (self.rate > 0 and self.std_gap > 0):
            raise ValueError(f"u_shaped needs rate > 0 and std_gap > 0, got {self.rate} and {self.std_gap}")
        if not MIN_TIME < self.max_t <= 1:
            raise ValueError(f"max_t must lie in ({MIN_TIME:g}, 1], got {self.max_t}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` pairs."""
        key_time, key_side, key_gap = jax.random.split(key, 3)
        # The inverse of (e^(rate x) - 1) / (e^rate - 1), then mirrored half the time.
        x = jnp.log1p(jax.random.uniform(key_time, (n,)) * jnp.expm1(self.rate)) / self.rate
        t = jnp.where(jax.random.bernoulli(key_side, shape=(n,)), x, 1 - x)
        t = jnp.clip(t, MIN_TIME, self.max_t)
        gap = jax.nn.sigmoid(self.mean_gap + self.std_gap * jax.random.normal(key_gap, (n,)))
        r = jnp.maximum(t - gap, 0.0)
        return jnp.where((t > 0.8) & (r < 0.4), 0.0, r), t

"""Pairs of times of which a share ends at the data: what one-step sampling asks for."""

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import MIN_TIME, PRNGKey


@time_samplers.register("to_data", citation="wang2025tim")
class ToData(AbstractTimeSampler):
    """Two sorted uniform times; with probability ``share`` the earlier one is moved to r = 1e-4.

    One-step sampling evaluates u(x, 0, 1), and the MeanFlow identity ties it to u(x, 0, t) at every t. Under uniform
    pairs intervals that reach the data are rare.

    Args:
        share: probability of r = 1e-4, in [0, 1].

    Source: the last tenth of the batch of Transition Models (Wang et al. 2025, arXiv:2509.04394) has r = 0.
    """

    share: float = eqx.field(default=0.5, converter=float)

    def __check_init__(self):
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {self.share}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` pairs; the later time is uniform where r is moved, the later of two elsewhere."""
        key_times, key_move = jax.random.split(key)
        times = MIN_TIME + (1 - 2 * MIN_TIME) * jax.random.uniform(key_times, (n, 2))
        moved = jax.random.uniform(key_move, (n,)) < self.share
        r = jnp.where(moved, MIN_TIME, jnp.min(times, axis=1))
        return r, jnp.where(moved, times[:, 0], jnp.max(times, axis=1))

"""Base class of time samplers."""

from abc import abstractmethod

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Float

from toylab.registry import Registry
from toylab.types import AnyArray, PRNGKey, Scalar

Times = tuple[Float[AnyArray, " n"], Float[AnyArray, " n"]]


class AbstractTimeSampler(eqx.Module):
    """A distribution of ordered pairs 0 <= r <= t <= 1."""

    @abstractmethod
    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` independent pairs (r, t) with r <= t; pure, ``n`` static."""

    def draw_single(self, key: PRNGKey, n: int) -> Float[AnyArray, " n"]:
        """``n`` independent times, for methods without pairs; by default the later one of a pair."""
        return self.draw(key, n)[1]


def limit_gap(r: Float[AnyArray, " n"], t: Float[AnyArray, " n"], max_gap: Scalar) -> Float[AnyArray, " n"]:
    """Earlier times raised to t - max_gap where the gap is larger."""
    return jnp.maximum(r, t - max_gap)


time_samplers: Registry[AbstractTimeSampler] = Registry("time sampler", "toylab.times")

"""A logit-normal for each of the two times."""

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import MIN_TIME, PRNGKey

ORDERS = ("clip", "sort")


@time_samplers.register("two_logit_normals", citation="lee2025decoupled")
class TwoLogitNormals(AbstractTimeSampler):
    """t = sigmoid(N(mean_t, std_t^2)) and r = sigmoid(N(mean_r, std_r^2)), put in order and kept in [1e-4, 1 - 1e-4].

    Args:
        mean_t: of the later time, before the sigmoid.
        std_t: likewise.
        mean_r: of the earlier time.
        std_r: likewise.
        order: ``sort`` exchanges a pair in the wrong order; ``clip`` lowers r to t, so that further pairs have r = t.

    Raises:
        ValueError: a standard deviation that is not positive, or an unknown order.

    Source: Lee et al. 2025 (sorted, the defaults); Luo et al. 2025, SoFlow (clipped: 0.2, 0.8, -1, 0.8); the CIFAR
    settings of MeanFlow's authors (clipped: -0.6, 1.6, -4, 1.6).
    """

    mean_t: float = eqx.field(default=0.4, converter=float)
    std_t: float = eqx.field(default=1.0, converter=float)
    mean_r: float = eqx.field(default=-1.2, converter=float)
    std_r: float = eqx.field(default=1.0, converter=float)
    order: str = eqx.field(default="sort", static=True)

    def __check_init__(self):
        if not (self.std_t > 0 and self.std_r > 0):
            raise ValueError(f"two_logit_normals needs std > 0, got {self.std_t} and {self.std_r}")
        if self.order not in ORDERS:
            raise ValueError(f"unknown order {self.order!r}; choices: {', '.join(ORDERS)}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` ordered pairs."""
        normal_r, normal_t = jax.random.normal(key, (2, n))
        r = jnp.clip(jax.nn.sigmoid(self.mean_r + self.std_r * normal_r), MIN_TIME, 1 - MIN_TIME)
        t = jnp.clip(jax.nn.sigmoid(self.mean_t + self.std_t * normal_t), MIN_TIME, 1 - MIN_TIME)
        return jnp.minimum(r, t), (jnp.maximum(r, t) if self.order == "sort" else t)

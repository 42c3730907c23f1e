"""The built-in time samplers.

Most of them keep times in [MIN_TIME, 1 - MIN_TIME]: the velocity of sharp data is unbounded at t = 0.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri
from jaxtyping import Float

from toylab.times.base import AbstractTimeSampler, Times, time_samplers
from toylab.types import MIN_TIME, AnyArray, PRNGKey

ORDERS = ("clip", "sort")


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


@time_samplers.register("two_logit_normals", citation="lee2025decoupled")
class TwoLogitNormals(AbstractTimeSampler):
    """t = sigmoid(N(mean_t, std_t^2)) and r = sigmoid(N(mean_r, std_r^2)), put in order and kept in [1e-4, 1 - 1e-4].

    Args:
        mean_t: mean of logit(t), t the later time.
        std_t: standard deviation of logit(t).
        mean_r: mean of logit(r), r the earlier time.
        std_r: standard deviation of logit(r).
        order: ``sort`` swaps a pair in the wrong order; ``clip`` lowers r to t, so that more pairs have r = t.

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


@time_samplers.register("gap_logit_normal", citation="zhou2025terminal")
class GapLogitNormal(AbstractTimeSampler):
    """g = sigmoid(N(mean_gap, std_gap^2)); r = sigmoid(N(mean_r, std_r^2)) given that r <= 1 - g; t = r + g.

    Args:
        mean_gap: mean of logit(gap).
        std_gap: standard deviation of logit(gap).
        mean_r: mean of logit(r), before the condition.
        std_r: standard deviation of logit(r), before the condition.

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
        # r <= 1 - g is logit(r) <= logit(1 - g) = -logit(g). The negation is exact; log(1 - g) is not at g near 1.
        room = ndtr((-logit_gap - self.mean_r) / self.std_r)
        # ndtri(0) is -inf: a quantile that underflows is raised to the smallest positive float.
        tiny = jnp.finfo(room.dtype).tiny
        quantile = jnp.maximum(room * jax.random.uniform(key_r, (n,)), tiny)
        r = jnp.minimum(jax.nn.sigmoid(self.mean_r + self.std_r * ndtri(quantile)), 1 - gap)
        return r, jnp.minimum(r + gap, 1.0)


@time_samplers.register("u_shaped", citation="zhang2025remeanflow")
class UShaped(AbstractTimeSampler):
    """t of density proportional to e^(rate t) + e^(rate (1 - t)), r = max(t - gap, 0) with a logit-normal gap.

    t is clipped to [1e-4, max_t]. Pairs with t > 0.8 and r < 0.4 get r = 0, which is where one-step sampling evaluates
    the net.

    Args:
        rate: steepness of the density at both ends, above 0.
        max_t: largest t. With the published 80/81 the net extrapolates to t = 1.
        mean_gap: mean of logit(gap).
        std_gap: standard deviation of logit(gap).

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


@time_samplers.register("to_data", citation="wang2025tim")
class ToData(AbstractTimeSampler):
    """Two sorted uniform times; with probability ``share`` the earlier one is moved to r = 1e-4.

    One-step sampling evaluates u(x, 0, 1), and the MeanFlow identity relates it to u(x, 0, t) at every t. Under uniform
    pairs, intervals that end at the data are rare.

    Args:
        share: probability of r = 1e-4, in [0, 1].

    Source: the last tenth of the batch of Transition Models (Wang et al. 2025, arXiv:2509.04394) has r = 0.
    """

    share: float = eqx.field(default=0.5, converter=float)

    def __check_init__(self):
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must lie in [0, 1], got {self.share}")

    def draw(self, key: PRNGKey, n: int) -> Times:
        """``n`` pairs; t is uniform in pairs with r moved, and the larger of two uniform times in the others."""
        key_times, key_move = jax.random.split(key)
        times = MIN_TIME + (1 - 2 * MIN_TIME) * jax.random.uniform(key_times, (n, 2))
        moved = jax.random.uniform(key_move, (n,)) < self.share
        r = jnp.where(moved, MIN_TIME, jnp.min(times, axis=1))
        return r, jnp.where(moved, times[:, 0], jnp.max(times, axis=1))

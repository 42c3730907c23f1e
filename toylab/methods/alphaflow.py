"""AlphaFlow: from flow matching to MeanFlow by shrinking a discrete step."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import (
    average_velocity_and_derivative,
    derivative_target,
    discrete_target,
    squared_norm,
)
from toylab.proxies import Context
from toylab.types import Scalar


@methods.register("alphaflow", citation="zhang2025alphaflow")
class AlphaFlow(AbstractRegression):
    r"""Regression on a target that takes the share alpha of the way by v_cond and the rest by the net.

    alpha > 0: alpha^(2p-1) w(|u - clip(alpha v + (1 - alpha) sg u(x_s, r, s))|^2), s = t - alpha (t - r); alpha = 0:
    MeanFlow at beta = 0. With progress k and m = (start + end) / 2 the schedule is
    alpha = 1 - sigmoid(sharpness (k - m) / (end - start)), 0 below ``clamp`` and 1 above 1 - ``clamp``: flow matching
    first, MeanFlow last. At alpha > 0 the exact solution is off by O(alpha); at alpha = 1 every gap learns v itself.

    The published weight is alpha / sg(|.|^2 + c), p = 1. The factor alpha^(2p-1) carries it over to any power p: the
    gradient 2 (u - target) / alpha at p = 0 tends to MeanFlow's, where a factor alpha would let it vanish.

    Args:
        target: proxy in the place of v in the target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.
        start: share of training where the schedule begins. The published numbers of steps are scaled to the run's
            length: otherwise a short run would never reach alpha = 0.
        end: share of training where it ends.
        sharpness: of the sigmoid.
        clamp: how near to 0 or 1 alpha counts as 0 or 1.
        clip: largest coordinate of the target, 0 for none. The published 4 suits image latents; data in two dimensions
            reach beyond it, and clipping a velocity that is right would teach a wrong one.

    Source: Zhang et al. 2025, arXiv:2510.20771 (zhang2025alphaflow). Confidence: high.
    """

    changes: ClassVar[tuple[Part, ...]] = ("target", "jacobian")
    formula: ClassVar[str] = (
        r"\frac{1}{\alpha} |u - \mathrm{sg}[\alpha v_{\rm cond} + (1-\alpha)\, u(x_s, r, s)]|^2,\quad "
        r"s = t - \alpha (t-r)"
    )
    unbiased: ClassVar[bool] = False
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {"time_sampler": "logit_normal", "p_equal": 0.5, "adaptive_power": 1.0, "adaptive_constant": 0.002}
    )

    start: float = eqx.field(default=0.0, converter=float)
    end: float = eqx.field(default=1.0, converter=float)
    sharpness: float = eqx.field(default=25.0, converter=float)
    clamp: float = eqx.field(default=0.005, converter=float)
    clip: float = eqx.field(default=0.0, converter=float)

    def __check_init__(self):
        if not self.start < self.end:
            raise ValueError(f"alphaflow needs start < end, got start={self.start}, end={self.end}")
        if not 0 <= self.clamp < 0.5:
            raise ValueError(f"clamp must lie in [0, 0.5), got {self.clamp}")
        if not self.clip >= 0:
            raise ValueError(f"clip must be at least 0 (no clipping), got {self.clip}")

    def alpha(self, progress: Scalar | float) -> Scalar:
        """The step at a share of training."""
        middle = (self.start + self.end) / 2
        offset = jnp.asarray(progress) - middle
        alpha = jax.nn.sigmoid(-self.sharpness * offset / (self.end - self.start))
        return jnp.where(alpha < self.clamp, 0.0, jnp.where(alpha > 1 - self.clamp, 1.0, alpha))

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """The branch of the present alpha; beta plays no part."""
        alpha = self.alpha(context.progress)
        # Rows of a batch share alpha, so that this is a true branch: the derivative costs nothing before alpha = 0.
        # Over lanes that differ both are computed and one is dropped, with its gradient: alpha = 0 divides nothing.
        return jax.lax.cond(
            alpha > 0,
            lambda: self._discrete(example, context, alpha),
            lambda: self._derivative(example, context),
        )

    def _discrete(self, example: Example, context: Context, alpha: Scalar) -> Scalar:
        target = discrete_target(context.net, example, self.pair_target(example, context), alpha)
        target = jnp.where(self.clip > 0, jnp.clip(target, -self.clip, self.clip), target)
        u = context.net(example.x_t, example.r, example.t)
        loss = alpha ** (2 * self.weight.power - 1) * self.weight(squared_norm(u - target))
        return loss.astype(u.dtype)

    def _derivative(self, example: Example, context: Context) -> Scalar:
        u, du_dt = average_velocity_and_derivative(
            context.net, example.x_t, example.r, example.t, example.v_cond
        )
        target = derivative_target(self.pair_target(example, context), example.gap, du_dt)
        return self.weight(squared_norm(u - target))

"""MeanFlow with a curriculum over gaps: small ones first."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import average_velocity_and_derivative, derivative_target, squared_norm
from toylab.proxies import Context
from toylab.types import Scalar

SNR_LIMIT = 5.0
"""Largest signal-to-noise ratio ((1 - t) / t)^2 that the stand-in for alpha(t) counts."""


def _mean_snr_weight() -> float:
    """Mean of min(((1-t)/t)^2, 5) t^2 over the density 2 t, the later of two uniform times, in closed form."""
    a = 1 / (1 + SNR_LIMIT**0.5)  # where the limit ends
    return 2 * (SNR_LIMIT * a**4 / 4 + 1 / 12 - (a**2 / 2 - 2 * a**3 / 3 + a**4 / 4))


@methods.register("kim_gap_weighting", citation="kim2025understanding")
class KimGapWeighting(AbstractRegression):
    r"""MeanFlow at beta = 0 whose rows with r < t count more the smaller their gap D = t - r, less so over training.

    pair_loss = b w(|u - sg[v_tgt - (t - r) du/dt]|^2) with b = 1 - s + lam s (1 - D), s = 1 - progress, after the
    adaptive weight. equal_loss = alpha(t) w(|u(x_t, t, t) - v_tgt|^2). The paper's alpha(t) could not be verified;
    ``velocity_weight`` mixes in a stand-in of ours, 1 + velocity_weight (min(((1-t)/t)^2, 5) t^2 / mean - 1), and is
    off by default.

    Args:
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.
        lam: 1 / E[1 - D] over rows with r < t, which keeps their mean weight at 1. Two sorted uniform times have
            E[1 - D] = 2/3, so 1.5; for logit_normal(-0.4, 1) it is 1.305. Another sampler, or a max_gap below 1,
            has a value of its own.
        velocity_weight: share of the stand-in in the weight of rows with r = t, 0 to 1.

    Source: Kim et al. 2025, arXiv:2511.19065 (kim2025understanding). Confidence: medium for b, low for alpha(t).
    """

    changes: ClassVar[tuple[Part, ...]] = ("weighting",)
    formula: ClassVar[str] = (
        r"[1 - s + \lambda s (1 - (t-r))]\, |u - \mathrm{sg}[v_{\rm cond} - (t-r)\, D_{v_{\rm cond}} u]|^2,\quad "
        r"s = 1 - k/K"
    )
    confidence: ClassVar = "medium"
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "method_options": {"lam": 1.305},
            "time_sampler": "logit_normal",
            "p_equal": 0.75,
            "adaptive_power": 1.0,
            "adaptive_constant": 0.01,
        }
    )

    lam: float = eqx.field(default=1.5, converter=float)
    velocity_weight: float = eqx.field(default=0.0, converter=float)

    def __check_init__(self):
        if not 0 <= self.velocity_weight <= 1:
            raise ValueError(f"velocity_weight must lie in [0, 1], got {self.velocity_weight}")

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """MeanFlow along v_cond with the weight of its gap; beta plays no part."""
        u, du_dt = average_velocity_and_derivative(
            context.net, example.x_t, example.r, example.t, example.v_cond
        )
        target = derivative_target(self.pair_target(example, context), example.gap, du_dt)
        share = 1 - jnp.asarray(context.progress, u.dtype)
        gap_weight = 1 - share + self.lam * share * (1 - example.gap)
        return gap_weight * self.weight(squared_norm(u - target))

    def equal_loss(self, example: Example, context: Context) -> Scalar:
        """Flow matching at r = t with the weight alpha(t)."""
        t = example.t
        snr_weight = jnp.minimum((1 - t) ** 2, SNR_LIMIT * t**2) / _mean_snr_weight()
        alpha = 1 + self.velocity_weight * (snr_weight - 1)
        residual = context.net(example.x_t, t, t) - self.equal_target(example, context)
        return alpha * self.weight(squared_norm(residual)) + self._anchor_loss(example, context)

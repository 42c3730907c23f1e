"""Transition models: MeanFlow with a central difference on the straight path."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from toylab.methods.base import Beta, Example, Part, methods
from toylab.methods.regression import AbstractRegression
from toylab.methods.terms import derivative_target, squared_norm
from toylab.proxies import Context
from toylab.types import Scalar


@methods.register("tim", citation="wang2025tim")
class TiM(AbstractRegression):
    r"""MeanFlow at beta = 0 whose derivative is a central difference, without forward-mode differentiation.

    pair_loss = w(|u - sg[v_tgt - (t - r) (u(x_{t+e}, r, t+e) - u(x_{t-e}, r, t-e)) / (2 e)]|^2), x_{t+-e} on the
    path of the same x0 and eps, beyond t = 1 too: biased by O(e^2). ``time_power`` q multiplies it by
    (tan t - tan r + 1)^(-q).

    Args:
        target: proxy in the place of the regression target; conditional by default.
        weight: adaptive weight of each example's loss.
        anchor: small-gap flow matching on every row, or None.
        step: e.
        time_power: q of its own weight; 0 is none, published 1/2.

    Source: Wang et al. 2025, arXiv:2509.04394 (wang2025tim), without its term on features. Confidence: high.
    """

    changes: ClassVar[tuple[Part, ...]] = ("jacobian",)
    formula: ClassVar[str] = (
        r"|u - \mathrm{sg}[v_{\rm cond} - (t-r) \frac{u(x_{t+e}, r, t+e) - u(x_{t-e}, r, t-e)}{2e}]|^2"
    )
    unbiased: ClassVar[bool] = False
    published: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {
            "method_options": {"time_power": 0.5},
            "time_sampler": "logit_normal",
            "p_equal": 0.5,
            "adaptive_power": 1.0,
            "adaptive_constant": 2e-5,
        }
    )

    step: float = eqx.field(default=0.005, converter=float)
    time_power: float = eqx.field(default=0.0, converter=float)

    def __check_init__(self):
        if not 0 < self.step < 0.5:
            raise ValueError(f"step must lie in (0, 0.5), got {self.step}")

    def regression(self, example: Example, context: Context, beta: Beta) -> Scalar:
        """Regression on the central difference; beta plays no part."""
        r, t, net = example.r, example.t, context.net
        later, earlier = t + self.step, t - self.step
        difference = net(example.at(later), r, later) - net(example.at(earlier), r, earlier)
        du_dt = difference / (2 * self.step)
        target = derivative_target(self.pair_target(example, context), example.gap, du_dt)
        time_weight = (jnp.tan(t) - jnp.tan(r) + 1) ** -self.time_power
        return time_weight * self.weight(squared_norm(net(example.x_t, r, t) - target))
